"""Temporary directories with stores."""

import errno
import tempfile
import time


class TemporaryStores(tempfile.TemporaryDirectory):
    """A directory that can be removed while this process has a store in it open: such a store writes its statistics every
    second, perhaps just before its directory is removed, which is then not empty."""

    def cleanup(self):
        for attempt in range(20):
            try:
                return super().cleanup()
            except OSError as error:
                if error.errno != errno.ENOTEMPTY or attempt == 19:
                    raise
                time.sleep(0.05)
