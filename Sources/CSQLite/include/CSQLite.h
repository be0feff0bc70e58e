/// Calls of SQLite with a variable number of arguments, which Swift cannot make.
#ifndef CSQLITE_H
#define CSQLITE_H

/// Ends SQLite's count of the memory that it uses. It takes a mutex at each allocation, and nothing reads the count.
/// Before the first use of SQLite in a process; later calls have no effect.
///
/// The corresponding C function is sqlite3_config, with SQLITE_CONFIG_MEMSTATUS.
///
/// Returns SQLITE_OK, or SQLITE_MISUSE if SQLite is in use.
int csqlite_disable_memory_status(void);

#endif
