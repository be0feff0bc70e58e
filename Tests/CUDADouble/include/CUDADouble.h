// A test double of libcuda.so.1: the driver functions that DeviceMemory calls, on threads and ordinary memory.
//
// It is a shared library, which tests open as they would open the driver: each test opens a copy of the file, and so
// has its own driver. Its behaviour that equals the driver's:
//
//   * Streams are queues with a thread each; copies run later, in order. Events are marks in them.
//   * Device addresses cannot be read by the host: they are not in its address space.
//   * A copy that fails when it runs is reported by later calls, and the context is lost ("sticky").
//
// In addition, it keeps a log of all calls, fails a chosen call, holds copies back, and
// counts every use that the driver's manual forbids or that would be a race ("violations").
#ifndef CUDA_DOUBLE_H
#define CUDA_DOUBLE_H

/// Resets everything: devices, log, faults, violations.
void cuda_double_reset(void);
/// How many devices there are (2), and how much memory each has (1 GiB).
void cuda_double_devices(int count, unsigned long bytes);
/// Where memory begins, in bytes after a multiple of 512 (0).
void cuda_double_shift(int bytes);

/// The `nth` call of `function` from now on, counted from 1, returns `code`. It does nothing else, unless it frees
/// memory or waits: then it does its work, as the driver does when it reports an earlier copy's failure.
void cuda_double_fail(const char *function, int nth, int code);
/// The `nth` copy from now on fails when it runs.
void cuda_double_fail_copy(int nth, int code);
/// How often `function` was called.
int cuda_double_calls(const char *function);

/// Copies wait while `held` is not 0.
void cuda_double_hold(int held);
/// How long each copy takes at least.
void cuda_double_delay(int microseconds);

/// Adds a line to the log.
void cuda_double_note(const char *line);
/// The log, a line for each call, as it happened; the caller frees it. A copy has a line when it is put on its stream,
/// `cuMemcpyHtoDAsync_v2 3`, and one when it has run, `copied 3`.
char *cuda_double_log(void);

/// How many contexts, allocations, pinned buffers, registrations, streams and events live; what they are, in words.
int cuda_double_live(void);
char *cuda_double_live_words(void);
/// How many forbidden uses there were; what they were, a line each.
int cuda_double_violations(void);
char *cuda_double_violation_words(void);
/// How many contexts are on the calling thread's stack.
int cuda_double_depth(void);
/// Makes the context of another API's the current one, as an engine's thread would have it; nil for none.
void *cuda_double_push_foreign(void);

#endif
