#define _GNU_SOURCE
#include "CLinux.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <malloc.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/vfs.h>
#include <unistd.h>

const int clinux_O_DIRECT = O_DIRECT;
const int clinux_MADV_HUGEPAGE = MADV_HUGEPAGE;
const int clinux_MADV_POPULATE_READ = MADV_POPULATE_READ;
const int clinux_POSIX_SPAWN_SETSID = POSIX_SPAWN_SETSID;
const int clinux_RLIMIT_MEMLOCK = RLIMIT_MEMLOCK;

int clinux_is_clock_synchronized(void) {
    struct timex state = {0};
    return adjtimex(&state) != TIME_ERROR && !(state.status & STA_UNSYNC);
}

int clinux_finish_writeback(int file) {
    return sync_file_range(
        file, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
}

int clinux_report_failed_write(int file) {
    return sync_file_range(file, (off64_t)1 << 62, 1, SYNC_FILE_RANGE_WAIT_BEFORE);
}

int clinux_sync_file_system(int file) { return syncfs(file); }

int clinux_start_writeback(int file) { return sync_file_range(file, 0, 0, SYNC_FILE_RANGE_WRITE); }

int clinux_memory_file(void) { return memfd_create("weightstore", MFD_CLOEXEC); }

int64_t clinux_file_system_type(const char *path) {
    struct statfs facts;
    if (statfs(path, &facts) != 0) return -1;
    return (int64_t)facts.f_type;
}

int clinux_clone_range(int target, int64_t target_offset, int source, int64_t source_offset, int64_t count) {
    // A length of 0 would mean the rest of the source.
    if (count <= 0) return EINVAL;
    struct file_clone_range range = {
        .src_fd = source,
        .src_offset = (uint64_t)source_offset,
        .src_length = (uint64_t)count,
        .dest_offset = (uint64_t)target_offset,
    };
    return ioctl(target, FICLONERANGE, &range) == 0 ? 0 : errno;
}

int64_t clinux_cached_pages(int file, int64_t offset, int64_t count) {
    // The structures of the call, which older headers lack, as they lack its number. A length of 0 would mean the rest.
    struct { uint64_t offset, length; } range = {(uint64_t)offset, (uint64_t)count};
    struct { uint64_t cached, dirty, writeback, evicted, recently_evicted; } pages;
    enum { cachestat = 451 };
    if (count <= 0) return 0;
    if (syscall(cachestat, file, &range, &pages, 0) != 0) return -1;
    return (int64_t)pages.cached;
}

void clinux_return_freed_memory(void) {
    mallopt(M_ARENA_MAX, 4);
    mallopt(M_MMAP_THRESHOLD, 256 << 10);
}
