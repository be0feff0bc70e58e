"""A wheel with the library in it, installed in a fresh environment.

Run by PythonTests.swift with WEIGHTSTORE_TOOL, and WEIGHTSTORE_LIBRARY, from which a wheel for this machine is made; or by
Tests/full with WEIGHTSTORE_WHEEL, the path of an audited wheel.
"""

import os
import subprocess
import sys
import tempfile
import unittest
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
WHEEL = os.path.join(HERE, "..", "..", "..", "Sources", "Python", "wheel")


class Wheel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.directory.cleanup)
        folder = cls.directory.name
        cls.wheel = os.environ.get("WEIGHTSTORE_WHEEL")
        if cls.wheel is None:
            cls.wheel = subprocess.run(
                [WHEEL, folder, "--unaudited", "--library", os.environ["WEIGHTSTORE_LIBRARY"]],
                check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        subprocess.run([sys.executable, "-m", "venv", folder + "/python"], check=True)
        cls.python = folder + "/python/bin/python"
        subprocess.run(
            [cls.python, "-m", "pip", "install", "-q", "--no-index", "--disable-pip-version-check", cls.wheel],
            check=True, env=cls.environment())

    @staticmethod
    def environment():
        """Without what would find another package or library."""
        return {
            name: value for name, value in os.environ.items()
            if name not in ("PYTHONPATH", "WEIGHTSTORE_LIBRARY", "LD_LIBRARY_PATH")}

    def run_python(self, program, *arguments):
        return subprocess.run(
            [self.python, "-c", program, *arguments], capture_output=True, text=True, env=self.environment(), cwd="/")

    def test_the_tag_names_the_platform_and_no_version_of_python(self):
        name = os.path.basename(self.wheel)
        self.assertRegex(name, r"^weightstore-[0-9.]+-py3-none-(linux|manylinux_2_\d+)_(x86_64|aarch64)\S*\.whl$")
        if "WEIGHTSTORE_WHEEL" in os.environ:
            self.assertIn("-manylinux_2_36_", name)
        with zipfile.ZipFile(self.wheel) as wheel:
            libraries = [entry for entry in wheel.namelist() if ".so" in entry]
        self.assertEqual(libraries, ["weightstore/libweightstore.so.1"])

    def test_an_environment_with_the_wheel_alone_reads_a_model_and_so_does_a_forked_child(self):
        folder = self.directory.name
        os.mkdir(folder + "/model")
        with open(folder + "/model/model.safetensors", "wb") as file:
            header = b'{"layers.0.w":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}'
            file.write(len(header).to_bytes(8, "little") + header + b"abc")
        subprocess.run(
            [os.environ["WEIGHTSTORE_TOOL"], "import", folder + "/model", "--name", "test/model", "--store", folder + "/store"],
            check=True, stdout=subprocess.DEVNULL)
        program = """if True:
            import os, sys, weightstore
            def read():
                with weightstore.open(sys.argv[1]).revision("test/model").lease_layer(0) as lease:
                    return bytes(lease["layers.0.w"].memory())
            assert read() == b"abc"
            library = weightstore._copies._path(weightstore._library.library().loaded)
            assert os.path.dirname(library) == os.path.dirname(os.path.realpath(weightstore.__file__)), library
            child = os.fork()
            if child == 0:
                os._exit(0 if read() == b"abc" else 1)
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            """
        done = self.run_python(program, folder + "/store")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_a_missing_libsqlite3_is_an_error_that_names_its_package(self):
        folder = self.directory.name + "/stub"
        os.mkdir(folder)
        for command in (
            f"echo 'int sqlite3_stub;' | cc -x c - -shared -o {folder}/libsqlite3.so.99 -Wl,-soname,libsqlite3.so.99",
            f"echo 'int weightstore_stub;' | cc -x c - -x none -shared -o {folder}/libweightstore.so.1 "
            f"-Wl,--no-as-needed {folder}/libsqlite3.so.99",
            f"rm {folder}/libsqlite3.so.99",
        ):
            subprocess.run(command, shell=True, check=True)
        program = f"""if True:
            import weightstore
            weightstore._library.__file__ = {folder + "/_library.py"!r}
            weightstore.open("/")
            """
        done = self.run_python(program)
        self.assertRegex(done.stderr, r"ImportError: \S+/libweightstore\.so\.1: cannot be loaded: libsqlite3\.so\.99: .*libsqlite3-0.*sqlite-libs")

    def test_a_libsqlite3_that_is_too_old_is_an_error_that_names_the_version(self):
        folder = self.directory.name + "/old"
        os.mkdir(folder)
        subprocess.run(
            f"echo 'int sqlite3_error_offset(void *); int (*needed)(void *) = sqlite3_error_offset;' "
            f"| cc -x c - -shared -fPIC -o {folder}/libweightstore.so.1", shell=True, check=True)
        program = f"""if True:
            import weightstore
            weightstore._library.__file__ = {folder + "/_library.py"!r}
            weightstore.open("/")
            """
        done = self.run_python(program)
        self.assertRegex(done.stderr, r"ImportError: \S+/libweightstore\.so\.1: cannot be loaded: .*It needs SQLite 3\.38 or newer")


if __name__ == "__main__":
    unittest.main()
