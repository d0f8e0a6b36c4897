"""The cached path: what runs when everything is known already."""
