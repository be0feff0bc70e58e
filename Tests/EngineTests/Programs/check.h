/* Shared by the test programs: they end at the first failed check, and print its place. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weightstore.h"

#define EXPECT(condition)                                                                                   \
    do {                                                                                                    \
        if (!(condition)) {                                                                                 \
            fprintf(stderr, "%s:%d: %s; last: %d %s\n", __FILE__, __LINE__, #condition,                     \
                    weightstore_last_status(), weightstore_last_message());                                 \
            exit(1);                                                                                        \
        }                                                                                                   \
    } while (0)

#define OK(call) EXPECT((call) == WEIGHTSTORE_OK)
/* The call fails with this status, which is then the thread's last, with a message. */
#define FAILS(status, call) \
    EXPECT((call) == (status) && weightstore_last_status() == (status) && weightstore_last_message()[0] != 0)
