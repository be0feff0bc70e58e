// The kernel's FUSE protocol, and the two calls around it that Swift cannot make.
#ifndef CFUSE_H
#define CFUSE_H

#include <linux/fuse.h>
#include <stdint.h>

/// Makes an open `/dev/fuse` a further descriptor of the connection of `session` (`FUSE_DEV_IOC_CLONE`), or returns -1 with
/// `errno` set.
int cfuse_clone(int file, int session);

/// Receives one descriptor over a Unix socket (`SCM_RIGHTS`), with `FD_CLOEXEC`. Returns -1 with `errno` set; if the peer
/// closes the socket without sending one, with `errno` 0.
int cfuse_receive(int socket);

#endif
