"""The platform's SDK as far as plugins need it."""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
