#define _GNU_SOURCE
#include "CLinux.h"
#include <fcntl.h>
#include <sys/vfs.h>

const int clinux_O_DIRECT = O_DIRECT;

int64_t clinux_file_system_type(const char *path) {
    struct statfs facts;
    if (statfs(path, &facts) != 0) return -1;
    return (int64_t)facts.f_type;
}
