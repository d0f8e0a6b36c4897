"""Release tools beside the package: files to publish, tag, audit; the documentation site, charts, recordings."""
