/*
 * WeightStore: model weights from a store on disk, by layer and tensor, in RAM or on a GPU.
 *
 *     weightstore_store *store;
 *     weightstore_revision *revision;
 *     weightstore_lease *lease;
 *     weightstore_tensor tensor = {.struct_size = sizeof tensor};
 *     if (weightstore_open("/var/lib/weightstore", &store) != WEIGHTSTORE_OK) die(weightstore_last_message());
 *     weightstore_resolve(store, "org/name@main", &revision);
 *     weightstore_prefetch_layers(revision, 12, 14, "ram");
 *     weightstore_lease_layer(revision, NULL, 12, "ram", &lease);
 *     weightstore_lease_tensor_at(lease, 0, &tensor);          // tensor.data is valid until the lease is released
 *     weightstore_lease_release(lease);
 *     weightstore_revision_release(revision);
 *     weightstore_close(store);
 *
 * Calls. Every function returns a status, and writes its result through its last pointer only if the status is
 * WEIGHTSTORE_OK. After a failure, weightstore_last_message() on the same thread returns the reason.
 *
 * Handles are opaque and never reused: a released handle is refused with WEIGHTSTORE_INVALID_HANDLE. Release each
 * handle once, in any order: a lease keeps its revision and its store. Releasing NULL does nothing.
 *
 * Threads. Every function can be called from any thread at any time. Calls block while bytes are read or fetched; a
 * weightstore_work limits their time, and another thread can cancel it.
 *
 * Fork. A process that was forked after its parent opened a store must not call the library (WEIGHTSTORE_FORKED),
 * because an SQLite connection does not survive a fork. It can still read the memory of the parent's leases in the
 * tier "ram", and the files of shards (shard_offset of weightstore_tensor) while the parent holds the revision. Fork
 * before the first weightstore_open, start a new program, or load a copy of the library and of its libsqlite3 with a
 * state of their own, as the Python package does (_copies.py).
 *
 * Structures begin with struct_size, which the caller sets to sizeof: a later version of the library may have more
 * fields, and fills in only those that fit.
 *
 * Strings are UTF-8 and end with a zero. Strings in structures are valid as long as the handle that returned them.
 *
 * Tiers: "ram", "host" (ordinary memory that behaves like a GPU's), "gpu" (the first CUDA device), "cuda:1", …
 */
#ifndef WEIGHTSTORE_H
#define WEIGHTSTORE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this interface. It changes if the meaning of a function or a field changes, not if some are added. */
#define WEIGHTSTORE_ABI 1

typedef struct weightstore_store weightstore_store;
typedef struct weightstore_revision weightstore_revision;
typedef struct weightstore_lease weightstore_lease;
typedef struct weightstore_work weightstore_work;

typedef enum weightstore_status {
    WEIGHTSTORE_OK = 0,
    /* NULL, out of range, an unknown tier, or an invalid name. */
    WEIGHTSTORE_INVALID_ARGUMENT = 1,
    /* The handle was released, is of another kind, or never existed. */
    WEIGHTSTORE_INVALID_HANDLE = 2,
    /* The process was forked after the library was used. */
    WEIGHTSTORE_FORKED = 3,
    /* No such model, revision, file, layer, expert or tensor; or an ambiguous name. */
    WEIGHTSTORE_NOT_FOUND = 4,
    /* Stored bytes are damaged or missing. */
    WEIGHTSTORE_DAMAGED = 5,
    /* There is no store, or it cannot be opened. */
    WEIGHTSTORE_BAD_STORE = 6,
    /* The disk or the store's quota is full. */
    WEIGHTSTORE_DISK_FULL = 7,
    /* Leases hold so much of the tier that the tensors do not fit. */
    WEIGHTSTORE_TIER_FULL = 8,
    /* Pinned, in use, or locked by another process. */
    WEIGHTSTORE_BUSY = 9,
    /* No such device, no driver, or the driver failed. */
    WEIGHTSTORE_DEVICE = 10,
    /* The bytes are not in the store, and their origin cannot be reached. */
    WEIGHTSTORE_UNREACHABLE = 11,
    /* The origin requires a token. */
    WEIGHTSTORE_NOT_ALLOWED = 12,
    /* The origin sent unexpected bytes. */
    WEIGHTSTORE_BAD_ANSWER = 13,
    /* DLPack has no such element type. */
    WEIGHTSTORE_UNSUPPORTED = 14,
    /* A system call failed. */
    WEIGHTSTORE_SYSTEM = 15,
    /* Anything else. */
    WEIGHTSTORE_FAILED = 16,
    /* The work of the thread was cancelled: weightstore_work_cancel. */
    WEIGHTSTORE_CANCELLED = 17,
    /* The time of the thread's work is over: weightstore_work_new. */
    WEIGHTSTORE_TIMED_OUT = 18
} weightstore_status;

/* ---- The library ---------------------------------------------------------------------------------------------- */

/* WEIGHTSTORE_ABI of the library: compare it with that of the header when the library is loaded at run time. */
uint32_t weightstore_abi(void);

/* The status of the last failed call on this thread; WEIGHTSTORE_OK if none failed. */
weightstore_status weightstore_last_status(void);

/* The message of that call: the failure, its subject and the remedy. Valid until the next failure on this thread; never
 * NULL. */
const char *weightstore_last_message(void);

/* The number of handles that were not released, for leak tests. */
weightstore_status weightstore_open_handles(size_t *count);

typedef void (*weightstore_log_function)(int32_t level, const char *message, void *context);

/* Passes the lines that the library logs to a function, instead of the standard error: warnings, such as those of a
 * fetch that is tried again. `level` is 0 (debug), 1 (information), 2 (warning) or 3 (error). The function runs on one
 * thread of the library, in the order of the lines; `message` is valid during the call. NULL means the standard error.
 * When weightstore_set_log returns, the previous function is not running, and is not called again: do not call it from
 * the function itself. */
weightstore_status weightstore_set_log(weightstore_log_function function, void *context);

/* ---- Work ------------------------------------------------------------------------------------------------------ */

/* A work limits the calls of threads, and ends them from another thread:
 *
 *     weightstore_work_new(NULL, 30000, &work);               // 30 seconds from now
 *     weightstore_work_use(work);                             // for the calls of this thread
 *     weightstore_lease_layer(revision, NULL, 12, "ram", &lease);   // WEIGHTSTORE_TIMED_OUT, if it takes longer
 *     weightstore_work_use(NULL);
 *     weightstore_work_release(work);
 *
 * It counts for leases, weightstore_read_file, weightstore_file_is_selected and the functions of metadata. A call that does not have to wait succeeds
 * even if the work has ended. Bytes that were fetched until then stay, and the next call reuses them. */

/* Creates a work that ends after some milliseconds; negative for no limit. It also ends with `parent`, which can be
 * NULL. */
weightstore_status weightstore_work_new(weightstore_work *parent, int64_t milliseconds, weightstore_work **work);

/* Sets the work of the calling thread; NULL for none. Several threads can use one work. The thread keeps it, so that
 * the handle can be released. */
weightstore_status weightstore_work_use(weightstore_work *work);

/* Ends the calls that use the work with WEIGHTSTORE_CANCELLED, and later ones at once. */
weightstore_status weightstore_work_cancel(weightstore_work *work);

/* Releases the handle. */
weightstore_status weightstore_work_release(weightstore_work *work);

/* ---- Stores ---------------------------------------------------------------------------------------------------- */

/* Opens the store in a directory. NULL means the default of the command-line tool: $WEIGHTSTORE_HOME, or
 * ~/.local/share/weightstore. */
weightstore_status weightstore_open(const char *path, weightstore_store **store);

/* Releases the handle, and ends the eviction that runs in the background. The store itself closes with the last of its
 * revisions and leases. */
weightstore_status weightstore_close(weightstore_store *store);

typedef struct weightstore_store_info {
    size_t struct_size;
    /* The absolute path of the directory: another process opens the same store with it. */
    const char *path;
} weightstore_store_info;

/* The properties of a store. */
weightstore_status weightstore_store_describe(weightstore_store *store, weightstore_store_info *info);

typedef struct weightstore_tier_options {
    size_t struct_size;
    /* The size limit in bytes. 0: of the memory that is available now, within the limits of the container: all in "ram",
     * half with locked pages or in "host", nine tenths of a GPU's. */
    uint64_t budget;
    /* The name of the eviction policy for a full budget. NULL: lru. */
    const char *policy;
    /* Not 0: lock the pages of "ram", so that the kernel does not reclaim them. */
    int32_t lock_pages;
    /* Not 0: hash each blob before it is loaded. A damaged one is moved to quarantine, and fetched again if it has an
     * origin (WEIGHTSTORE_DAMAGED otherwise). */
    int64_t verifies;
} weightstore_tier_options;

/* Opens a tier with options. The first use of a tier that is not open opens it with the default options. The options of
 * an open tier cannot be changed (WEIGHTSTORE_INVALID_ARGUMENT). */
weightstore_status weightstore_open_tier(
    weightstore_store *store, const char *tier, const weightstore_tier_options *options);

typedef struct weightstore_tier_statistics {
    size_t struct_size;
    /* Bytes: the limit; of resident shards; being loaded; held by leases. */
    uint64_t budget, bytes, loading, leased;
    /* The number of resident shards. */
    uint64_t shards;
    /* Leases on resident shards, and on shards that had to be loaded. */
    uint64_t hits, misses;
    /* Since the tier was opened: bytes loaded; shards evicted; loads that failed. */
    uint64_t loaded, evictions, failures;
} weightstore_tier_statistics;

/* The contents and the counters of a tier. WEIGHTSTORE_NOT_FOUND if it is not open. */
weightstore_status weightstore_statistics(
    weightstore_store *store, const char *tier, weightstore_tier_statistics *statistics);

/* ---- Revisions ------------------------------------------------------------------------------------------------- */

/* Finds and holds a revision: "model", "model@ref", "model@~3", "model@<commit>", "model@<digest>". Without "@" it is
 * the ref main, or the last version if there is no such ref. A held revision cannot be removed from the store. */
weightstore_status weightstore_resolve(
    weightstore_store *store, const char *name, weightstore_revision **revision);

/* Releases the handle. The leases of the revision continue to hold it. */
weightstore_status weightstore_revision_release(weightstore_revision *revision);

typedef struct weightstore_revision_info {
    size_t struct_size;
    /* "org/name", and "org/name@~3". */
    const char *model, *name;
    /* The SHA-256 of the manifest, in hexadecimal. */
    const char *digest;
    /* 1, 2, 3 …; -1 while an import is still adding files. */
    int64_t version;
    /* The number of tensors, layers and files. */
    size_t tensors, layers, files;
    /* The size of all tensors. */
    uint64_t bytes;
} weightstore_revision_info;

/* The properties of a revision. */
weightstore_status weightstore_revision_describe(
    weightstore_revision *revision, weightstore_revision_info *info);

typedef struct weightstore_tensor {
    size_t struct_size;
    const char *name;
    /* As in the file: "BF16", "Q4_K". */
    const char *dtype;
    /* The file of the revision that contains it. */
    const char *file;
    /* The path up to the layer's number, such as "model.layers", and the number; NULL and -1 outside every layer. */
    const char *stack;
    int64_t layer;
    /* -1 if it belongs to no single expert. */
    int64_t expert;
    /* Elements along each dimension, the outermost first for every file format; `rank` of them. */
    int64_t rank;
    const int64_t *shape;
    /* The stride of each dimension, in elements; NULL for types whose elements are packed in blocks. */
    const int64_t *strides;
    uint64_t bytes;
    /* The SHA-256 of the shard that holds the bytes, in hexadecimal; NULL for a tensor of zero bytes, and for one whose
     * bytes were never fetched. */
    const char *shard;
    /* The address of the bytes: in this process for "ram" and "host", on the device otherwise. Set only for tensors of
     * a lease, and valid as long as it is held; NULL otherwise, and for zero bytes. Read-only. */
    const void *data;
    /* DLPack's device type (1: this process's memory; 2: CUDA; 0: not in a tier) and the number of the device. */
    int32_t device_type, device_id;
    /* The offset of the bytes in the shard, which is the file blobs/<first two digits>/<shard> of the store. */
    uint64_t shard_offset;
} weightstore_tensor;

/* A tensor of the revision, by its index from 0 to info.tensors - 1, in order of file and name. Loads nothing. */
weightstore_status weightstore_tensor_at(
    weightstore_revision *revision, size_t index, weightstore_tensor *tensor);

typedef struct weightstore_layer {
    size_t struct_size;
    const char *stack;
    int64_t number;
    size_t tensors;
    uint64_t bytes;
} weightstore_layer;

/* A layer of the revision, by its index from 0 to info.layers - 1, in order of stack and number. */
weightstore_status weightstore_layer_at(
    weightstore_revision *revision, size_t index, weightstore_layer *layer);

typedef struct weightstore_file {
    size_t struct_size;
    const char *path;
    /* "safetensors", "gguf" or "other". */
    const char *format;
    /* The SHA-256 of the file, in hexadecimal. */
    const char *digest;
    uint64_t bytes;
} weightstore_file;

/* A file of the revision, by its index from 0 to info.files - 1, in order of path. */
weightstore_status weightstore_file_at(
    weightstore_revision *revision, size_t index, weightstore_file *file);

/* Whether an engine loads the file together with the others of its folder (1), as transformers and diffusers choose
 * them: model.safetensors, or the files of an index; 0 for variants such as model.fp16.safetensors, for copies such as
 * consolidated.safetensors, and for files without tensors. `index` is that of weightstore_file_at. Reads the indexes, and
 * fetches those that are not stored. */
weightstore_status weightstore_file_is_selected(weightstore_revision *revision, size_t index, int32_t *selected);

/* Copies `size` bytes of a file from `offset` on into `buffer`. `count` is the number of bytes copied, which is less
 * than `size` only at the end of the file. */
weightstore_status weightstore_read_file(
    weightstore_revision *revision, const char *path, uint64_t offset, void *buffer, size_t size, size_t *count);

/* A string that may contain zeros, and ends with one that does not count. */
typedef struct weightstore_text {
    const char *data;
    size_t size;
} weightstore_text;

typedef struct weightstore_metadata {
    size_t struct_size;
    const char *key;
    /* The type of the value, or of the elements of an array: "uint8", "int8", "uint16", "int16", "uint32", "int32",
     * "uint64", "int64", "float32", "float64", "bool", "string" or "array". Those of safetensors are "string". */
    const char *type;
    /* The number of elements of an array; -1 for a single value. */
    int64_t count;
    /* The value, or the elements: an array of the C type of that name ("bool": uint8_t, 0 or 1; "float32": float), of
     * weightstore_text for "string", of const weightstore_metadata * for "array", whose elements have no key (NULL). NULL
     * for an array of no elements. */
    const void *values;
} weightstore_metadata;

/* The number of entries in the metadata of a file: the keys of GGUF, "__metadata__" of safetensors; 0 for other files. Reads
 * the header of the file, and fetches it if it is not stored. `file` is a path, as weightstore_file has it. */
weightstore_status weightstore_metadata_count(weightstore_revision *revision, const char *file, size_t *count);

/* An entry, by its index from 0 to count - 1: in the order of a GGUF file; by key for safetensors. */
weightstore_status weightstore_metadata_at(
    weightstore_revision *revision, const char *file, size_t index, weightstore_metadata *metadata);

/* ---- Leases ---------------------------------------------------------------------------------------------------- */

/* Each of these loads tensors into a tier, waits until they are loaded, and holds them there. Resident tensors are not
 * read again; tensors that the store lacks are fetched from an origin. */

/* The tensors of a layer; only those of one stack if `stack` is not NULL. */
weightstore_status weightstore_lease_layer(
    weightstore_revision *revision, const char *stack, int64_t layer, const char *tier, weightstore_lease **lease);

/* Experts of a layer, from number `first` to `last`: their tensors, and no others. Of a tensor that stacks all experts of
 * a layer, the lease has one tensor for each of them: of the same name, with the number in `expert`, and a shape without
 * the dimension of experts. Only their bytes are loaded into the tier. */
weightstore_status weightstore_lease_experts(
    weightstore_revision *revision, int64_t layer, int64_t first, int64_t last, const char *tier,
    weightstore_lease **lease);

/* The tensors of a layer for an expert-parallel rank: without those of experts other than `first` to `last`. A tensor
 * that stacks all experts is among them, whole. The layer may have none of the experts, but not the whole revision:
 * WEIGHTSTORE_NOT_FOUND. */
weightstore_status weightstore_lease_layer_with_experts(
    weightstore_revision *revision, int64_t layer, int64_t first, int64_t last, const char *tier,
    weightstore_lease **lease);

/* The tensors that belong to no layer: embedding, final norm, head. */
weightstore_status weightstore_lease_rest(
    weightstore_revision *revision, const char *tier, weightstore_lease **lease);

/* One tensor; if `file` is NULL, every tensor of that name in any file. */
weightstore_status weightstore_lease_tensor(
    weightstore_revision *revision, const char *file, const char *name, const char *tier, weightstore_lease **lease);

/* All tensors of a file; of all files if `file` is NULL. */
weightstore_status weightstore_lease_file(
    weightstore_revision *revision, const char *file, const char *tier, weightstore_lease **lease);

/* Begins to load layers into a tier, and returns at once. A later lease finds them if the tier has not evicted them, or
 * waits for the same load. The lease reports a failed load. */
weightstore_status weightstore_prefetch_layers(
    weightstore_revision *revision, int64_t first, int64_t last, const char *tier);

/* As weightstore_prefetch_layers, without the tensors of experts other than `first_expert` to `last_expert`. */
weightstore_status weightstore_prefetch_layers_with_experts(
    weightstore_revision *revision, int64_t first, int64_t last, int64_t first_expert, int64_t last_expert,
    const char *tier);

typedef struct weightstore_lease_info {
    size_t struct_size;
    size_t tensors;
    /* The size of its tensors. */
    uint64_t bytes;
} weightstore_lease_info;

/* The size of a lease. */
weightstore_status weightstore_lease_describe(weightstore_lease *lease, weightstore_lease_info *info);

/* A tensor of the lease, with its address, by its index from 0 to info.tensors - 1, in order of file and name. */
weightstore_status weightstore_lease_tensor_at(
    weightstore_lease *lease, size_t index, weightstore_tensor *tensor);

/* The index of a tensor of the lease; of the first one if several files have the name and `file` is NULL, or if the
 * lease has several experts of a tensor that stacks them. */
weightstore_status weightstore_lease_find(
    weightstore_lease *lease, const char *file, const char *name, size_t *index);

/* A separate lease on one tensor of a lease: it keeps that tensor when the first lease is released. */
weightstore_status weightstore_lease_share(
    weightstore_lease *lease, size_t index, weightstore_lease **shared);

/* Releases the lease. Its tensors must not be read afterwards. */
weightstore_status weightstore_lease_release(weightstore_lease *lease);

/* ---- DLPack ---------------------------------------------------------------------------------------------------- */

struct DLManagedTensor;
struct DLManagedTensorVersioned;

enum {
    /* As one dimension of bytes, for element types that the consumer does not know. */
    WEIGHTSTORE_DLPACK_BYTES = 1,
    /* As writable memory: a page is shared with all processes until it is written, and then private (copy on write).
     * The store does not change. Only for "ram". Each tensor of a lease has bytes of its own: tensors with equal bytes,
     * which are one memory for readers, are separate here. Two exports of one tensor of a lease share their pages. */
    WEIGHTSTORE_DLPACK_PRIVATE = 2
};

/* A tensor of a lease for DLPack consumers. It has a lease of its own, which its deleter releases: `lease` can be
 * released before. The memory is read-only without WEIGHTSTORE_DLPACK_PRIVATE; the versioned form has a flag for it. */
weightstore_status weightstore_dlpack(
    weightstore_lease *lease, size_t index, uint32_t flags, struct DLManagedTensor **tensor);
weightstore_status weightstore_dlpack_versioned(
    weightstore_lease *lease, size_t index, uint32_t flags, struct DLManagedTensorVersioned **tensor);

/* A destructor for PyCapsule_New (CPython's PyCapsule_Destructor): deletes the tensor of a capsule named "dltensor" or
 * "dltensor_versioned", unless a consumer has taken it over and renamed the capsule. It runs no Python code, and depends
 * on no reference count. The library is not linked with Python: it finds PyCapsule_IsValid and PyCapsule_GetPointer
 * among the symbols of the process. */
void weightstore_dlpack_capsule_end(void *capsule);

#ifdef __cplusplus
}
#endif

#endif
