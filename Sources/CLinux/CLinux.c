#define _GNU_SOURCE
#include "CLinux.h"
#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/timex.h>
#include <sys/vfs.h>

const int clinux_O_DIRECT = O_DIRECT;
const int clinux_MADV_HUGEPAGE = MADV_HUGEPAGE;
const int clinux_MADV_POPULATE_READ = MADV_POPULATE_READ;
const int clinux_POSIX_SPAWN_SETSID = POSIX_SPAWN_SETSID;
const int clinux_RLIMIT_MEMLOCK = RLIMIT_MEMLOCK;

int clinux_is_clock_synchronized(void) {
    struct timex state = {0};
    return adjtimex(&state) != TIME_ERROR && !(state.status & STA_UNSYNC);
}

int clinux_start_writeback(int file) { return sync_file_range(file, 0, 0, SYNC_FILE_RANGE_WRITE); }

int clinux_memory_file(void) { return memfd_create("weightstore", MFD_CLOEXEC); }

int64_t clinux_file_system_type(const char *path) {
    struct statfs facts;
    if (statfs(path, &facts) != 0) return -1;
    return (int64_t)facts.f_type;
}
