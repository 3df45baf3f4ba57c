"""The notebook side: widgets, the JupyterLab extension, and the Python client a notebook imports. Speaks HTTP only."""
