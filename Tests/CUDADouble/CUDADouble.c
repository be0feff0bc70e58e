#define _GNU_SOURCE
#include "CUDADouble.h"
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int CUresult;
typedef int CUdevice;
typedef uint64_t CUdeviceptr;

enum {
    SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101,
    INVALID_CONTEXT = 201, INVALID_HANDLE = 400, NOT_READY = 600,
};

// One lock and one condition for everything: this is about order, not speed.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

// MARK: Text

struct text { char *bytes; size_t count, room; int lines; };

static struct text call_log, violations;

static void append(struct text *text, const char *format, va_list arguments) {
    char line[512];
    int count = vsnprintf(line, sizeof line - 1, format, arguments);
    if (count > (int)sizeof line - 2) count = sizeof line - 2;
    line[count++] = '\n';
    if (text->count + count + 1 > text->room) {
        text->room = (text->room + count + 1) * 2;
        text->bytes = realloc(text->bytes, text->room);
    }
    memcpy(text->bytes + text->count, line, count);
    text->count += count;
    text->bytes[text->count] = 0;
    text->lines++;
}

static void say(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    append(&call_log, format, arguments);
    va_end(arguments);
}

static void violation(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    append(&violations, format, arguments);
    va_end(arguments);
}

// MARK: State

struct context { int device, retained, lost; uint64_t used; };

struct allocation {
    CUdeviceptr address;
    size_t bytes;
    char *memory;
    struct context *context;
    int pending;             // copies to or from it that have not run yet
    struct allocation *next;
};
struct host_range { char *start; size_t bytes; int registered; struct host_range *next; };

struct event { struct context *context; int recorded, completed, destroyed, is_event; };

enum kind { TO_DEVICE, TO_HOST, WITHIN, RECORD, WAIT };

struct operation {
    enum kind kind;
    CUdeviceptr device, from;
    char *host;
    size_t bytes;
    char *snapshot;          // of memory that is not pinned: the driver copies it before it returns
    uint64_t checksum;       // of memory that is pinned, and must stay as it is
    struct event *event;
    int mark, number;
    struct operation *next;
};

struct stream {
    struct context *context;
    struct operation *first, *last;
    int pending, destroyed, is_stream;
};

enum { DEVICES = 32, STREAM = 0x57, EVENT = 0xe7 };

static struct context contexts[DEVICES], foreign;
static int device_count = 2, initialized, copies, held, delay, copy_fault, copy_code;
static uint64_t device_bytes = 1 << 30;
static struct allocation *allocations;
static struct host_range *host_ranges;
static int live_streams, live_events;
// Never used twice, so that freed memory stays known as freed; no canonical address, so that an access by the host faults.
static CUdeviceptr next_address = 0xdead000000000000, gap, shift;

static __thread struct context *stack[16];
static __thread int depth;

// MARK: Faults

struct counter { char function[40]; int calls, fault, code; };
static struct counter counters[64];

static struct counter *counter(const char *function) {
    for (int i = 0; i < 64; i++) {
        if (!counters[i].function[0]) strncpy(counters[i].function, function, 39);
        if (!strcmp(counters[i].function, function)) return &counters[i];
    }
    abort();
}

/// Counts a call, and returns the code with which it must fail.
static int counted(const char *function) {
    struct counter *found = counter(function);
    found->calls++;
    if (found->fault && --found->fault == 0) return found->code;
    return 0;
}

/// Opens a driver function: `fault` is the code that it must return.
#define ENTER int fault; pthread_mutex_lock(&lock); fault = counted(__func__)
#define LEAVE(code) do { CUresult result_ = (code); pthread_mutex_unlock(&lock); return result_; } while (0)
/// The function does nothing if it must fail.
#define MAY_FAIL if (fault) { say("%s fails", __func__); LEAVE(fault); }
#define NEEDS_CONTEXT \
    struct context *context = current(__func__); \
    if (!context) LEAVE(INVALID_CONTEXT);
#define NOT_LOST if (context->lost) LEAVE(context->lost);

static struct context *current(const char *function) {
    if (!depth) { violation("%s without a current context", function); return NULL; }
    return stack[depth - 1];
}

static int valid_stream(struct stream *stream, struct context *context, const char *function) {
    if (!stream || stream->is_stream != STREAM || stream->destroyed) violation("%s: no such stream", function);
    else if (stream->context != context) violation("%s: a stream of another context", function);
    else return 1;
    return 0;
}

static int valid_event(struct event *event, struct context *context, const char *function) {
    if (!event || event->is_event != EVENT || event->destroyed) violation("%s: no such event", function);
    else if (event->context != context) violation("%s: an event of another context", function);
    else return 1;
    return 0;
}

// MARK: Memory

static struct allocation *allocation(CUdeviceptr address, size_t bytes) {
    for (struct allocation *a = allocations; a; a = a->next)
        if (address >= a->address && address + bytes <= a->address + a->bytes) return a;
    return NULL;
}

static struct host_range *pinned(const char *start, size_t bytes) {
    for (struct host_range *r = host_ranges; r; r = r->next)
        if (start >= r->start && start + bytes <= r->start + r->bytes) return r;
    return NULL;
}

static uint64_t checksum(const char *bytes, size_t count) {
    uint64_t sum = 14695981039346656037u, word;
    for (; count >= 8; bytes += 8, count -= 8) { memcpy(&word, bytes, 8); sum = (sum ^ word) * 1099511628211u; }
    for (; count; bytes++, count--) sum = (sum ^ (unsigned char)*bytes) * 1099511628211u;
    return sum;
}

// MARK: Streams

static void count_pending(const struct operation *o, int change) {
    struct allocation *to = o->kind == TO_HOST ? NULL : allocation(o->device, o->bytes);
    struct allocation *from = o->kind == TO_DEVICE ? NULL : allocation(o->from, o->bytes);
    if (to) to->pending += change;
    if (from) from->pending += change;
}

static void copy(struct operation *o, struct stream *stream) {
    if (copy_fault && --copy_fault == 0) stream->context->lost = copy_code;
    if (stream->context->lost) { say("copy %d fails", o->number); return; }
    struct allocation *to = o->kind == TO_HOST ? NULL : allocation(o->device, o->bytes);
    struct allocation *from = o->kind == TO_DEVICE ? NULL : allocation(o->from, o->bytes);
    if ((o->kind != TO_HOST && !to) || (o->kind != TO_DEVICE && !from)) {
        violation("copy %d runs in memory that was freed", o->number);
        return;
    }
    char *target = to ? to->memory + (o->device - to->address) : o->host;
    const char *source = from ? from->memory + (o->from - from->address) : o->snapshot ? o->snapshot : o->host;
    if (o->kind == TO_DEVICE && !o->snapshot) {
        if (!pinned(o->host, o->bytes)) { violation("copy %d runs from memory that was freed", o->number); return; }
        if (checksum(source, o->bytes) != o->checksum) violation("copy %d: its source was overwritten", o->number);
    }
    memmove(target, source, o->bytes);
    say("copied %d", o->number);
}

static void *run(void *argument) {
    struct stream *stream = argument;
    pthread_mutex_lock(&lock);
    for (;;) {
        struct operation *o = stream->first;
        if (!o) {
            if (stream->destroyed) break;
            pthread_cond_wait(&changed, &lock);
            continue;
        }
        if (o->kind == RECORD) {
            if (o->event->completed < o->mark) o->event->completed = o->mark;
        } else if (o->kind == WAIT) {
            while (o->event->completed < o->mark) pthread_cond_wait(&changed, &lock);
        } else {
            while (held) pthread_cond_wait(&changed, &lock);
            if (delay) {
                pthread_mutex_unlock(&lock);
                usleep(delay);
                pthread_mutex_lock(&lock);
            }
            copy(o, stream);
            count_pending(o, -1);
        }
        stream->first = o->next;
        stream->pending--;
        free(o->snapshot);
        free(o);
        pthread_cond_broadcast(&changed);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void enqueue(struct stream *stream, struct operation operation) {
    struct operation *o = malloc(sizeof *o);
    *o = operation;
    if (stream->first) stream->last->next = o; else stream->first = o;
    stream->last = o;
    stream->pending++;
    pthread_cond_broadcast(&changed);
}

// MARK: The driver's functions

CUresult cuInit(unsigned flags) {
    ENTER;
    MAY_FAIL;
    initialized = 1;
    LEAVE(device_count ? SUCCESS : NO_DEVICE);
}

static const char *names[][3] = {
    {"\001", "CUDA_ERROR_INVALID_VALUE", "invalid argument"}, {"\002", "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {"\144", "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {"\311", "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
};

static CUresult error_text(CUresult code, const char **text, int column) {
    *text = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if ((unsigned char)names[i][0][0] == code) *text = names[i][column];
    if (code == 700) *text = column == 1 ? "CUDA_ERROR_ILLEGAL_ADDRESS" : "an illegal memory access was encountered";
    return *text ? SUCCESS : INVALID_VALUE;
}

CUresult cuGetErrorName(CUresult code, const char **text) {
    ENTER;
    *text = NULL;
    MAY_FAIL;
    LEAVE(error_text(code, text, 1));
}

CUresult cuGetErrorString(CUresult code, const char **text) {
    ENTER;
    *text = NULL;
    MAY_FAIL;
    LEAVE(error_text(code, text, 2));
}

CUresult cuDeviceGetCount(int *count) {
    ENTER;
    MAY_FAIL;
    if (!device_count) LEAVE(NO_DEVICE);
    if (!initialized) LEAVE(NOT_INITIALIZED);
    *count = device_count;
    LEAVE(SUCCESS);
}

CUresult cuDeviceGet(CUdevice *device, int ordinal) {
    ENTER;
    MAY_FAIL;
    if (ordinal < 0 || ordinal >= device_count) LEAVE(INVALID_DEVICE);
    *device = ordinal + 100;    // a handle, not a number to count with
    LEAVE(SUCCESS);
}

static struct context *context_of(CUdevice device) {
    if (device >= 100 && device < 100 + device_count) return &contexts[device - 100];
    violation("no such device handle: %d", device);
    return NULL;
}

CUresult cuDeviceGetName(char *name, int count, CUdevice device) {
    ENTER;
    MAY_FAIL;
    if (!context_of(device)) LEAVE(INVALID_DEVICE);
    snprintf(name, count, "Double %d", device - 100);
    LEAVE(SUCCESS);
}

CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device) {
    ENTER;
    MAY_FAIL;
    if (!context_of(device)) LEAVE(INVALID_DEVICE);
    *bytes = device_bytes;
    LEAVE(SUCCESS);
}

CUresult cuDevicePrimaryCtxRetain(struct context **result, CUdevice device) {
    ENTER;
    MAY_FAIL;
    struct context *context = context_of(device);
    if (!context) LEAVE(INVALID_DEVICE);
    context->device = device;
    context->retained++;
    say("cuDevicePrimaryCtxRetain %d", device - 100);
    *result = context;
    LEAVE(SUCCESS);
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
    ENTER;
    struct context *context = context_of(device);
    if (!context) LEAVE(INVALID_DEVICE);
    if (!context->retained) violation("a context is released twice");
    else if (--context->retained == 0) {
        say("cuDevicePrimaryCtxRelease_v2 %d", device - 100);
        if (context->used) violation("a context goes with %lu bytes in use", context->used);
        context->lost = 0;
    }
    LEAVE(fault);
}

CUresult cuCtxPushCurrent_v2(struct context *context) {
    ENTER;
    MAY_FAIL;
    if (depth == 16) { violation("contexts pile up on a thread"); LEAVE(INVALID_VALUE); }
    if (!context->retained) violation("a context is made current after its release");
    stack[depth++] = context;
    LEAVE(SUCCESS);
}

CUresult cuCtxPopCurrent_v2(struct context **context) {
    ENTER;
    if (!depth) { violation("no context to pop"); LEAVE(INVALID_CONTEXT); }
    *context = stack[--depth];
    LEAVE(fault);
}

CUresult cuMemGetInfo_v2(size_t *unused, size_t *total) {
    ENTER;
    MAY_FAIL;
    NEEDS_CONTEXT;
    NOT_LOST;
    *unused = device_bytes - context->used;
    *total = device_bytes;
    LEAVE(SUCCESS);
}

CUresult cuMemAlloc_v2(CUdeviceptr *address, size_t bytes) {
    ENTER;
    MAY_FAIL;
    NEEDS_CONTEXT;
    NOT_LOST;
    if (!bytes) LEAVE(INVALID_VALUE);
    if (bytes > device_bytes - context->used) LEAVE(OUT_OF_MEMORY);
    void *memory = malloc(bytes);
    if (!memory) LEAVE(OUT_OF_MEMORY);
    struct allocation *a = malloc(sizeof *a);
    *a = (struct allocation){next_address + shift, bytes, memory, context, 0, allocations};
    allocations = a;
    context->used += bytes;
    // Every other one touches the one before.
    next_address += (bytes + shift + 511) / 512 * 512 + gap;
    gap = 512 - gap;
    *address = a->address;
    say("cuMemAlloc_v2 %zu", bytes);
    LEAVE(SUCCESS);
}

CUresult cuMemFree_v2(CUdeviceptr address) {
    ENTER;
    NEEDS_CONTEXT;
    struct allocation **a = &allocations;
    while (*a && (*a)->address != address) a = &(*a)->next;
    if (!*a) { violation("memory is freed twice, or was never allocated"); LEAVE(INVALID_VALUE); }
    struct allocation *found = *a;
    if (found->context != context) violation("memory is freed in another context");
    if (found->pending) violation("memory is freed while copies to or from it are pending");
    say("cuMemFree_v2 %zu", found->bytes);
    found->context->used -= found->bytes;
    *a = found->next;
    free(found->memory);
    free(found);
    LEAVE(fault ? fault : context->lost);
}

CUresult cuMemHostAlloc(void **memory, size_t bytes, unsigned flags) {
    ENTER;
    MAY_FAIL;
    NEEDS_CONTEXT;
    NOT_LOST;
    struct host_range *r = malloc(sizeof *r);
    *r = (struct host_range){aligned_alloc(4096, (bytes + 4095) / 4096 * 4096), bytes, 0, host_ranges};
    host_ranges = r;
    *memory = r->start;
    say("cuMemHostAlloc %zu", bytes);
    LEAVE(SUCCESS);
}

static CUresult give_host_range_back(void *start, int registered) {
    struct host_range **r = &host_ranges;
    while (*r && ((*r)->start != start || (*r)->registered != registered)) r = &(*r)->next;
    if (!*r) { violation("host memory is unpinned twice, or was never pinned"); return INVALID_VALUE; }
    struct host_range *found = *r;
    *r = found->next;
    if (!registered) free(found->start);
    free(found);
    return SUCCESS;
}

CUresult cuMemFreeHost(void *start) {
    ENTER;
    NEEDS_CONTEXT;
    say("cuMemFreeHost");
    CUresult code = give_host_range_back(start, 0);
    LEAVE(fault ? fault : code ? code : context->lost);
}

CUresult cuMemHostRegister_v2(void *start, size_t bytes, unsigned flags) {
    ENTER;
    MAY_FAIL;
    NEEDS_CONTEXT;
    NOT_LOST;
    if ((uintptr_t)start % 4096 || bytes % 4096 || !bytes) violation("pages are registered in part");
    if (pinned(start, 1)) LEAVE(712);
    struct host_range *r = malloc(sizeof *r);
    *r = (struct host_range){start, bytes, 1, host_ranges};
    host_ranges = r;
    say("cuMemHostRegister_v2 %zu", bytes);
    LEAVE(SUCCESS);
}

CUresult cuMemHostUnregister(void *start) {
    ENTER;
    NEEDS_CONTEXT;
    say("cuMemHostUnregister");
    CUresult code = give_host_range_back(start, 1);
    LEAVE(fault ? fault : code ? code : context->lost);
}

CUresult cuStreamCreate(struct stream **result, unsigned flags) {
    ENTER;
    MAY_FAIL;
    NEEDS_CONTEXT;
    NOT_LOST;
    // Streams and events are never freed: their use after destruction must be detected.
    struct stream *stream = calloc(1, sizeof *stream);
    stream->context = context;
    stream->is_stream = STREAM;
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, stream)) LEAVE(OUT_OF_MEMORY);
    pthread_detach(thread);
    live_streams++;
    say("cuStreamCreate");
    *result = stream;
    LEAVE(SUCCESS);
}

CUresult cuStreamDestroy_v2(struct stream *stream) {
    ENTER;
    NEEDS_CONTEXT;
    if (!valid_stream(stream, context, __func__)) LEAVE(INVALID_HANDLE);
    stream->destroyed = 1;
    live_streams--;
    say("cuStreamDestroy_v2");
    pthread_cond_broadcast(&changed);
    LEAVE(fault ? fault : context->lost);
}

CUresult cuStreamSynchronize(struct stream *stream) {
    ENTER;
    NEEDS_CONTEXT;
    if (!valid_stream(stream, context, __func__)) LEAVE(INVALID_HANDLE);
    say("cuStreamSynchronize");
    while (stream->pending) pthread_cond_wait(&changed, &lock);
    LEAVE(fault ? fault : context->lost);
}

CUresult cuStreamWaitEvent(struct stream *stream, struct event *event, unsigned flags) {
    ENTER;
    MAY_FAIL;
    NEEDS_CONTEXT;
    NOT_LOST;
    if (!valid_stream(stream, context, __func__) || !valid_event(event, context, __func__)) LEAVE(INVALID_HANDLE);
    say("cuStreamWaitEvent");
    enqueue(stream, (struct operation){.kind = WAIT, .event = event, .mark = event->recorded});
    LEAVE(SUCCESS);
}

CUresult cuEventCreate(struct event **result, unsigned flags) {
    ENTER;
    MAY_FAIL;
    NEEDS_CONTEXT;
    NOT_LOST;
    struct event *event = calloc(1, sizeof *event);
    event->context = context;
    event->is_event = EVENT;
    live_events++;
    say("cuEventCreate");
    *result = event;
    LEAVE(SUCCESS);
}

CUresult cuEventDestroy_v2(struct event *event) {
    ENTER;
    NEEDS_CONTEXT;
    if (!valid_event(event, context, __func__)) LEAVE(INVALID_HANDLE);
    event->destroyed = 1;
    live_events--;
    say("cuEventDestroy_v2");
    LEAVE(fault ? fault : context->lost);
}

CUresult cuEventRecord(struct event *event, struct stream *stream) {
    ENTER;
    MAY_FAIL;
    NEEDS_CONTEXT;
    NOT_LOST;
    if (!valid_stream(stream, context, __func__) || !valid_event(event, context, __func__)) LEAVE(INVALID_HANDLE);
    say("cuEventRecord");
    enqueue(stream, (struct operation){.kind = RECORD, .event = event, .mark = ++event->recorded});
    LEAVE(SUCCESS);
}

CUresult cuEventQuery(struct event *event) {
    ENTER;
    MAY_FAIL;
    NEEDS_CONTEXT;
    NOT_LOST;
    if (!valid_event(event, context, __func__)) LEAVE(INVALID_HANDLE);
    LEAVE(event->completed < event->recorded ? NOT_READY : SUCCESS);
}

CUresult cuEventSynchronize(struct event *event) {
    ENTER;
    NEEDS_CONTEXT;
    if (!valid_event(event, context, __func__)) LEAVE(INVALID_HANDLE);
    int mark = event->recorded;
    say("cuEventSynchronize");
    while (event->completed < mark) pthread_cond_wait(&changed, &lock);
    LEAVE(fault ? fault : context->lost);
}

static CUresult put_copy(
    const char *function, struct context *context, struct stream *stream, struct operation operation
) {
    if (!valid_stream(stream, context, function)) return INVALID_HANDLE;
    struct allocation *to = operation.kind == TO_HOST ? NULL : allocation(operation.device, operation.bytes);
    struct allocation *from = operation.kind == TO_DEVICE ? NULL : allocation(operation.from, operation.bytes);
    if ((operation.kind != TO_HOST && (!to || to->context != context))
        || (operation.kind != TO_DEVICE && (!from || from->context != context))) {
        violation("%s outside of allocated memory", function);
        return INVALID_VALUE;
    }
    if (operation.kind == TO_DEVICE && pinned(operation.host, operation.bytes)) {
        operation.checksum = checksum(operation.host, operation.bytes);
    } else if (operation.kind == TO_DEVICE) {
        operation.snapshot = malloc(operation.bytes);
        memcpy(operation.snapshot, operation.host, operation.bytes);
    }
    operation.number = ++copies;
    say("%s %d", function, operation.number);
    count_pending(&operation, 1);
    enqueue(stream, operation);
    return SUCCESS;
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, struct stream *stream) {
    ENTER;
    MAY_FAIL;
    NEEDS_CONTEXT;
    NOT_LOST;
    struct operation operation = {.kind = TO_DEVICE, .device = to, .host = (char *)from, .bytes = bytes};
    LEAVE(put_copy(__func__, context, stream, operation));
}

CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, struct stream *stream) {
    ENTER;
    MAY_FAIL;
    NEEDS_CONTEXT;
    NOT_LOST;
    struct operation operation = {.kind = TO_HOST, .from = from, .host = to, .bytes = bytes};
    LEAVE(put_copy(__func__, context, stream, operation));
}

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, struct stream *stream) {
    ENTER;
    MAY_FAIL;
    NEEDS_CONTEXT;
    NOT_LOST;
    struct operation operation = {.kind = WITHIN, .device = to, .from = from, .bytes = bytes};
    LEAVE(put_copy(__func__, context, stream, operation));
}

// MARK: For tests

static char *taken(const struct text *text) {
    return strdup(text->bytes ? text->bytes : "");
}

void cuda_double_reset(void) {
    pthread_mutex_lock(&lock);
    memset(counters, 0, sizeof counters);
    memset(contexts, 0, sizeof contexts);
    while (allocations) {
        struct allocation *next = allocations->next;
        free(allocations->memory);
        free(allocations);
        allocations = next;
    }
    while (host_ranges) {
        struct host_range *next = host_ranges->next;
        if (!host_ranges->registered) free(host_ranges->start);
        free(host_ranges);
        host_ranges = next;
    }
    shift = 0;
    live_streams = live_events = initialized = copies = held = delay = copy_fault = 0;
    device_count = 2;
    device_bytes = 1 << 30;
    call_log.count = violations.count = 0;
    call_log.lines = violations.lines = 0;
    if (call_log.bytes) call_log.bytes[0] = 0;
    if (violations.bytes) violations.bytes[0] = 0;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

void cuda_double_devices(int count, unsigned long bytes) {
    pthread_mutex_lock(&lock);
    if (count > DEVICES) { violation("the double has at most %d devices", DEVICES); count = DEVICES; }
    device_count = count;
    device_bytes = bytes;
    pthread_mutex_unlock(&lock);
}

void cuda_double_shift(int bytes) {
    pthread_mutex_lock(&lock);
    shift = bytes;
    pthread_mutex_unlock(&lock);
}

void cuda_double_fail(const char *function, int nth, int code) {
    pthread_mutex_lock(&lock);
    counter(function)->fault = nth;
    counter(function)->code = code;
    pthread_mutex_unlock(&lock);
}

void cuda_double_fail_copy(int nth, int code) {
    pthread_mutex_lock(&lock);
    copy_fault = nth;
    copy_code = code;
    pthread_mutex_unlock(&lock);
}

int cuda_double_calls(const char *function) {
    pthread_mutex_lock(&lock);
    int calls = counter(function)->calls;
    pthread_mutex_unlock(&lock);
    return calls;
}

void cuda_double_hold(int value) {
    pthread_mutex_lock(&lock);
    held = value;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

void cuda_double_delay(int microseconds) {
    pthread_mutex_lock(&lock);
    delay = microseconds;
    pthread_mutex_unlock(&lock);
}

void cuda_double_note(const char *line) {
    pthread_mutex_lock(&lock);
    say("%s", line);
    pthread_mutex_unlock(&lock);
}

char *cuda_double_log(void) {
    pthread_mutex_lock(&lock);
    char *text = taken(&call_log);
    pthread_mutex_unlock(&lock);
    return text;
}

char *cuda_double_live_words(void) {
    char *words = malloc(256);
    int retained = 0, memory = 0, buffers = 0, registered = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < DEVICES; i++) retained += contexts[i].retained;
    for (struct allocation *a = allocations; a; a = a->next) memory++;
    for (struct host_range *r = host_ranges; r; r = r->next) (*(r->registered ? &registered : &buffers))++;
    snprintf(words, 256, "%d contexts, %d allocations, %d pinned buffers, %d registrations, %d streams, %d events",
        retained, memory, buffers, registered, live_streams, live_events);
    pthread_mutex_unlock(&lock);
    return words;
}

int cuda_double_live(void) {
    int sum = 0, counts[6];
    char *words = cuda_double_live_words();
    sscanf(words, "%d contexts, %d allocations, %d pinned buffers, %d registrations, %d streams, %d events",
        &counts[0], &counts[1], &counts[2], &counts[3], &counts[4], &counts[5]);
    free(words);
    for (int i = 0; i < 6; i++) sum += counts[i];
    return sum;
}

int cuda_double_violations(void) {
    pthread_mutex_lock(&lock);
    int count = violations.lines;
    pthread_mutex_unlock(&lock);
    return count;
}

char *cuda_double_violation_words(void) {
    pthread_mutex_lock(&lock);
    char *text = taken(&violations);
    pthread_mutex_unlock(&lock);
    return text;
}

int cuda_double_depth(void) { return depth; }

void *cuda_double_push_foreign(void) {
    foreign.retained = 1;
    stack[depth++] = &foreign;
    return &foreign;
}
