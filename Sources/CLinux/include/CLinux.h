// The Linux calls and constants that glibc hides without _GNU_SOURCE and Swift's Glibc module therefore lacks.
#ifndef CLINUX_H
#define CLINUX_H

#include <stdint.h>

/// `O_DIRECT`; its value differs between architectures.
extern const int clinux_O_DIRECT;

/// `MADV_HUGEPAGE`.
extern const int clinux_MADV_HUGEPAGE;

/// `MADV_POPULATE_READ`.
extern const int clinux_MADV_POPULATE_READ;

/// `POSIX_SPAWN_SETSID`.
extern const int clinux_POSIX_SPAWN_SETSID;

/// The `f_type` of `statfs(2)` for the file system that holds `path`, or -1 with `errno` set.
int64_t clinux_file_system_type(const char *path);

/// `sync_file_range(2)` of a whole file with `SYNC_FILE_RANGE_WRITE` alone: starts to write dirty pages without
/// waiting.
int clinux_start_writeback(int file);

/// `sync_file_range(2)` of a whole file with all its flags: writes dirty pages, and waits for them.
int clinux_finish_writeback(int file);

/// Reports whether a write of the file's pages to its disk has failed since the descriptor was opened, once; waits for nothing.
/// `sync_file_range(2)` with `SYNC_FILE_RANGE_WAIT_BEFORE`, of a range without pages.
int clinux_report_failed_write(int file);

/// `syncfs(2)`.
int clinux_sync_file_system(int file);

/// `memfd_create(2)` with `MFD_CLOEXEC`: a file in memory, without a name.
int clinux_memory_file(void);

/// `RLIMIT_MEMLOCK`.
extern const int clinux_RLIMIT_MEMLOCK;

/// Whether `adjtimex(2)` reports that a program synchronizes the clock: 1 or 0.
int clinux_is_clock_synchronized(void);

/// `FICLONERANGE` of `ioctl(2)`: a range of `target` shares the blocks of a range of `source`. Returns 0, or the `errno`.
int clinux_clone_range(int target, int64_t target_offset, int source, int64_t source_offset, int64_t count);

/// `cachestat(2)` (Linux 6.5): the number of pages of a range that are in the page cache, or -1 with `errno` set. Linux 6.14 and
/// newer answer only for files that the process owns or may write.
int64_t clinux_cached_pages(int file, int64_t offset, int64_t count);

/// Limits the memory that `malloc` keeps after it was freed, in a process with many threads that each use large buffers for a
/// short time: at most four arenas, and buffers of 256 KiB or more are returned to the kernel at once. The corresponding C
/// function is `mallopt`.
void clinux_return_freed_memory(void);

#endif
