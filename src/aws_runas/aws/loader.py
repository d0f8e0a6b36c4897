"""botocore's data loader without its walk over every version of every service, which takes longer than an STS call."""

from __future__ import annotations

import os

import botocore.loaders


class Loader(botocore.loaders.Loader):  # type: ignore[misc]
    """Finds services by their folder's name."""

    def __init__(self, data_path: str | None) -> None:
        paths = [os.path.expandvars(os.path.expanduser(path)) for path in (data_path or "").split(os.pathsep) if path]
        super().__init__(extra_search_paths=paths)
        self._names: list[str] | None = None

    def list_available_services(self, type_name: str) -> list[str]:
        """Every folder of the search paths; that it holds a model of this type shows when it is loaded.

        Args:
            type_name: for instance ``service-2``; all services have one of each.
        """
        del type_name
        if self._names is None:
            names: set[str] = set()
            for path in self.search_paths:
                if os.path.isdir(path):
                    names.update(os.listdir(path))
            self._names = sorted(names)
        return self._names
