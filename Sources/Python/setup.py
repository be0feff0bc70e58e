"""The tag of a wheel with the C library in it; the rest is in pyproject.toml."""

import os

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel

HAS_LIBRARY = any(name.startswith("libweightstore.so") for name in os.listdir("weightstore"))


class Package(Distribution):
    def has_ext_modules(self):
        return HAS_LIBRARY


class Wheel(bdist_wheel):
    """The library belongs to a platform, but to no version of Python: ctypes calls it."""

    def get_tag(self):
        tag = super().get_tag()
        return ("py3", "none", tag[2]) if HAS_LIBRARY else tag


setup(distclass=Package, cmdclass={"bdist_wheel": Wheel})
