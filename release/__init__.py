"""What a release needs beside the package: the documentation site, its charts, and the recordings of the terminal."""
