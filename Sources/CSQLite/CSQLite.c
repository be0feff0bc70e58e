#include "CSQLite.h"

#include <sqlite3.h>

int csqlite_disable_memory_status(void) { return sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); }
