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
typedef struct weightstore_pending_lease weightstore_pending_lease;
typedef struct weightstore_list weightstore_list;

typedef enum weightstore_status {
    WEIGHTSTORE_OK = 0,
    /* NULL, out of range, an unknown or closed tier, or an invalid name. */
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
    /* Leases hold so much of the tier, or others so much of the device's memory, that the tensors do not fit. */
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
 * It counts for leases, for reads of files, tensors and metadata, for weightstore_file_is_selected, for opening a store
 * and resolving a name, and for the calls that manage a store: import, pull, removal, warm-up. A lease or a read that
 * does not have to wait, and a name that is resolved without waiting for a lock, succeed even if the work has ended.
 * Bytes that were fetched until then stay, and the next call reuses them. */

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
    /* The size limit in bytes. 0: the environment's (see "Memory of tiers"), or else, of the memory that is available now,
     * within the limits of the container, all in "ram", and half with locked pages or in "host". On a GPU, what is free
     * there when a load needs it, except a tenth of its memory; and what no lease has used for a minute is evicted. */
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
 * an open tier cannot be changed (WEIGHTSTORE_INVALID_ARGUMENT): close it first, with weightstore_tier_close. */
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
     * a lease, and valid as long as it is held; NULL otherwise, and for zero bytes. Read-only, except of a writable lease
     * (weightstore_lease_writable). */
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

/* ---- Batches --------------------------------------------------------------------------------------------------- */

/* One call for many tensors. */

/* Tensors of the revision, `count` of them from index `first` on, as weightstore_tensor_at gives each. struct_size of the
 * first element of the array is the size of each. Equal strings in dtype, file, stack and shard are one pointer, and so are
 * equal shapes. */
weightstore_status weightstore_tensors(
    weightstore_revision *revision, size_t first, size_t count, weightstore_tensor *tensors);

/* Tensors of the lease, as weightstore_lease_tensor_at gives each. */
weightstore_status weightstore_lease_tensors(
    weightstore_lease *lease, size_t first, size_t count, weightstore_tensor *tensors);

/* The addresses of their bytes, NULL for a tensor of zero bytes. A lease has its tensors in the order of weightstore_tensors: a
 * caller that knows those needs no more. */
weightstore_status weightstore_lease_addresses(
    weightstore_lease *lease, size_t first, size_t count, const void **addresses);

/* A separate lease on each of the tensors, as weightstore_lease_share makes one: fills an array of handles, of which each
 * is to be released. */
weightstore_status weightstore_lease_share_tensors(
    weightstore_lease *lease, size_t first, size_t count, weightstore_lease **shared);

/* As weightstore_lease_share_tensors, with fewer leases: tensors that are parts of one mapping, or of one shard, have the same
 * handle, which keeps the bytes of all of them, and describes the first. Each handle is to be released once, however often it
 * is in the array. */
weightstore_status weightstore_lease_share_memory(
    weightstore_lease *lease, size_t first, size_t count, weightstore_lease **shared);

/* ---- Writable memory, and parts of tensors ----------------------------------------------------------------------- */

enum {
    /* The bytes are read when they are accessed; only few are copied by the call. A page that cannot be read raises SIGBUS
     * then. */
    WEIGHTSTORE_LEASE_LAZY = 1,
    /* Also leases the other tensors of the file that lie in the same shard, for callers that want many small tensors one by
     * one. Needs `file` and `name`. A tensor whose bytes were never fetched is leased alone. */
    WEIGHTSTORE_LEASE_NEIGHBOURS = 2
};

/* Tensors in RAM for a consumer that may write: `data` of each is writable memory of its own. A page is shared with all
 * processes until it is written, and then private (copy on write). Tensors that are neighbours in a shard are parts of one
 * mapping, whose written pages stay until the leases of all of them have ended; few bytes are copied at once. The store does
 * not change, and tensors with equal bytes are separate. Cheaper than a lease in "ram" that is exported with
 * WEIGHTSTORE_DLPACK_PRIVATE, which maps the bytes twice.
 *
 * The tensors are those of a file, or of all files if `file` is NULL; if `name` is not NULL, only those of that name,
 * unless `flags` has WEIGHTSTORE_LEASE_NEIGHBOURS. */
weightstore_status weightstore_lease_writable(
    weightstore_revision *revision, const char *file, const char *name, uint32_t flags, weightstore_lease **lease);

/* Reads `size` bytes of a tensor of a lazy lease into memory, from `offset` on, so that accesses do not wait. */
weightstore_status weightstore_lease_read(weightstore_lease *lease, size_t index, uint64_t offset, uint64_t size);

/* Parts of a tensor, all of one size and at equal distances: rows, or a range of columns. All in bytes. */
typedef struct weightstore_tensor_parts {
    size_t struct_size;
    /* The position of the first part, from the beginning of the tensor. */
    uint64_t offset;
    /* The size of each part. */
    uint64_t bytes;
    /* From the beginning of a part to that of the next one. */
    uint64_t stride;
    /* The number of parts. */
    uint64_t count;
} weightstore_tensor_parts;

/* Copies parts of a tensor into a buffer of `size` bytes, one behind the other, and reads only them: parts of at least
 * 64 KiB alone, smaller ones with what lies between them. Bytes that are not on disk are read from an origin, and neither
 * checked nor stored, because only whole shards have digests; they are if the parts are the whole tensor. If `file` is
 * NULL, the tensor is the first one of that name. */
weightstore_status weightstore_read_tensor(
    weightstore_revision *revision, const char *file, const char *name, const weightstore_tensor_parts *parts,
    void *buffer, size_t size);

/* Whether the bytes of a tensor are on disk (1), so that a lease fetches nothing. */
weightstore_status weightstore_tensor_is_stored(
    weightstore_revision *revision, const char *file, const char *name, int32_t *stored);

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

/* ---- Memory of tiers ------------------------------------------------------------------------------------------- */

/* A tier uses memory when leases need it, up to its budget, and keeps what was leased for the next lease. The budget of a
 * tier that is opened without one is that of the environment: WEIGHTSTORE_RAM_BUDGET, WEIGHTSTORE_HOST_BUDGET, or
 * WEIGHTSTORE_GPU_BUDGET for each GPU, in the form of weightstore_tier_budget. */

/* Evicts what no lease holds, and returns its memory: that of a device to the device, and in "ram" the mappings, which
 * keep the disk space of files that were removed. `bytes`, which can be NULL, is the size of what was evicted; 0 if the
 * tier is not open. */
weightstore_status weightstore_tier_clear(weightstore_store *store, const char *tier, uint64_t *bytes);

/* Closes a tier: evicts what no lease holds, as weightstore_tier_clear, and the rest when its last lease ends. New leases
 * in it are refused (WEIGHTSTORE_INVALID_ARGUMENT) until weightstore_open_tier opens it again. */
weightstore_status weightstore_tier_close(weightstore_store *store, const char *tier, uint64_t *bytes);

/* A budget for a tier, in bytes, from its text: "8G" is decimal, "8GiB" binary, and "50%" a share of the memory that is
 * available now; of a GPU, of all of its memory. WEIGHTSTORE_INVALID_ARGUMENT for any other text, and for 0. */
weightstore_status weightstore_tier_budget(const char *tier, const char *text, uint64_t *bytes);

/* ---- Parts of a revision ---------------------------------------------------------------------------------------- */

/* How a weightstore_part chooses tensors. */
typedef enum weightstore_part_kind {
    /* All tensors; those of one file if `file` is set; those with one name if `name` is set. */
    WEIGHTSTORE_PART_TENSORS = 0,
    /* The tensors of the layers `first_layer` to `last_layer`; with `stack`, of one layer of that stack. */
    WEIGHTSTORE_PART_LAYERS = 1,
    /* The tensors that belong to no layer: embedding, final norm, head. */
    WEIGHTSTORE_PART_REST = 2,
    /* As weightstore_lease_experts: the experts `first_expert` to `last_expert` of the layer `first_layer`, and no other
     * tensors. */
    WEIGHTSTORE_PART_EXPERTS = 3,
    /* The tensors of an expert-parallel rank: the layers `first_layer` to `last_layer`, or all tensors of the revision if
     * both are -1, without those of experts other than `first_expert` to `last_expert`. */
    WEIGHTSTORE_PART_WITH_EXPERTS = 4,
    /* The tensors of the layer `first_layer` outside of its experts, and outside of tensors that stack them. */
    WEIGHTSTORE_PART_WITHOUT_EXPERTS = 5
} weightstore_part_kind;

/* The tensors of a lease. Fields that the kind does not name are not read. */
typedef struct weightstore_part {
    size_t struct_size;
    /* A weightstore_part_kind. */
    int64_t kind;
    /* Each can be NULL. */
    const char *file, *name, *stack;
    /* Numbers of layers and of experts, the last one included. */
    int64_t first_layer, last_layer, first_expert, last_expert;
} weightstore_part;

/* Leases a part of a revision, as the functions above do. */
weightstore_status weightstore_lease_part(
    weightstore_revision *revision, const weightstore_part *part, const char *tier, weightstore_lease **lease);

/* ---- Asynchronous leases ---------------------------------------------------------------------------------------- */

/* A lease whose bytes are loaded while the program does other work:
 *
 *     weightstore_lease_options options = {.struct_size = sizeof options, .event = eventfd(0, EFD_CLOEXEC)};
 *     weightstore_lease_begin(revision, &part, "gpu", &options, &pending);
 *     …                                                          // until options.event can be read
 *     weightstore_lease_wait(pending, 0, &lease);
 *     weightstore_pending_release(pending);
 */

/* Receives the status of a lease that was begun: WEIGHTSTORE_OK, or that of its failure. */
typedef void (*weightstore_lease_function)(weightstore_status status, void *context);

typedef struct weightstore_lease_options {
    size_t struct_size;
    /* Called once, when the lease has succeeded, failed or was cancelled; possibly before weightstore_lease_begin has
     * returned. It runs on one thread of the library, which serves all such functions in turn. NULL for none. */
    weightstore_lease_function completion;
    void *context;
    /* A descriptor of eventfd(2), to which 1 is added at the same time; several leases can share it. It can be closed
     * once weightstore_lease_begin has returned. 0 or negative for none. */
    int32_t event;
    /* Not 0: on a GPU, the lease succeeds when the copies of its bytes are queued. The addresses of its tensors are valid
     * then, and the bytes have arrived when the event of weightstore_lease_event has completed. Other tiers ignore it. */
    int32_t when_queued;
} weightstore_lease_options;

/* Begins a lease, and returns at once. `options` can be NULL. The work of the thread counts for the whole lease. */
weightstore_status weightstore_lease_begin(
    weightstore_revision *revision, const weightstore_part *part, const char *tier,
    const weightstore_lease_options *options, weightstore_pending_lease **pending);

/* Waits for a lease that was begun, and returns it, once: later calls fail with WEIGHTSTORE_INVALID_ARGUMENT. If `lease` is
 * NULL, it only waits, and any number of threads can. WEIGHTSTORE_TIMED_OUT after some milliseconds: the lease is still
 * being loaded, and another call can wait for it; 0 does not wait, and a negative number waits without limit. Otherwise
 * the status is that of the lease. The work of the thread ends the wait, and not the lease. */
weightstore_status weightstore_lease_wait(
    weightstore_pending_lease *pending, int64_t milliseconds, weightstore_lease **lease);

/* Ends the load with WEIGHTSTORE_CANCELLED, unless other leases wait for the same bytes, or it has ended. */
weightstore_status weightstore_lease_cancel(weightstore_pending_lease *pending);

/* Releases the handle. A lease that was not returned is cancelled and released. */
weightstore_status weightstore_pending_release(weightstore_pending_lease *pending);

/* The CUDA event (CUevent, and cudaEvent_t of the runtime) of a lease that was begun with `when_queued`: it completes when
 * the bytes of its tensors have arrived on the device. A kernel on a stream that waits for it (cuStreamWaitEvent,
 * cudaStreamWaitEvent) can read them. Valid as long as the lease is held. NULL if the bytes are there already, as in every
 * other lease. Release the lease only when the kernels that read it have run. */
weightstore_status weightstore_lease_event(weightstore_lease *lease, void **event);

/* ---- Bytes on disk ---------------------------------------------------------------------------------------------- */

/* Where the bytes of a tensor lie, for engines that read them with GPUDirect Storage (cuFile), io_uring or O_DIRECT. */
typedef struct weightstore_location {
    size_t struct_size;
    /* The offset of the tensor in its file of the revision, as weightstore_read_file counts. */
    uint64_t file_offset;
    /* The path of the blob, which begins with that of the store. NULL for zero bytes, and for bytes that were never
     * fetched. An eviction can remove the blob; a descriptor keeps its bytes. */
    const char *path;
    /* The offset of the tensor in the blob, and its size. */
    uint64_t offset, bytes;
} weightstore_location;

/* The location of a tensor of the revision, by its index, and of a tensor of a lease. Loads nothing. */
weightstore_status weightstore_tensor_location(
    weightstore_revision *revision, size_t index, weightstore_location *location);
weightstore_status weightstore_lease_tensor_location(
    weightstore_lease *lease, size_t index, weightstore_location *location);

/* Opens the blob of a tensor for reading, and fetches it if the store lacks it. The descriptor belongs to the caller, who
 * closes it; it has O_CLOEXEC, and shares neither position nor flags with another. A blob is never changed nor truncated,
 * and the bytes stay as long as the descriptor is open. `location` can be NULL. WEIGHTSTORE_INVALID_ARGUMENT for a tensor
 * of zero bytes. */
weightstore_status weightstore_tensor_open(
    weightstore_revision *revision, size_t index, weightstore_location *location, int32_t *descriptor);
weightstore_status weightstore_lease_tensor_open(
    weightstore_lease *lease, size_t index, weightstore_location *location, int32_t *descriptor);

/* ---- Managing a store ------------------------------------------------------------------------------------------- */

typedef struct weightstore_progress {
    size_t struct_size;
    /* Bytes: to process, as far as they are known; processed; of the total, present and not processed. */
    uint64_t total, done, skipped;
    /* The path or the name of the item in progress; empty if there is none. Valid during the call. */
    const char *label;
} weightstore_progress;

/* Called some ten times a second during a long call, on the thread that makes the call, and once at its end. A result
 * other than 0 cancels the call (WEIGHTSTORE_CANCELLED). */
typedef int32_t (*weightstore_progress_function)(const weightstore_progress *progress, void *context);

/* Opens the store in a directory, and creates the directory and an empty store if there is none. */
weightstore_status weightstore_create(const char *path, weightstore_store **store);

typedef struct weightstore_import_options {
    size_t struct_size;
    /* "org/name". NULL: from the name of the source. */
    const char *name;
    /* The refs that name the revision; NULL and 0: main. */
    const char *const *refs;
    size_t ref_count;
    /* URLs of origins that hold the files, the nearest first: the revision can then be evicted. They are checked. */
    const char *const *origins;
    size_t origin_count;
    /* Not 0: remove each source file once its bytes are durable; import a directory although its index names missing
     * files; refuse unusual files; keep files that break their format, without tensors; read and hash all bytes again. */
    int32_t move, partial, strict, opaque, rehash;
    weightstore_progress_function progress;
    void *context;
} weightstore_import_options;

typedef struct weightstore_import_summary {
    size_t struct_size;
    /* Bytes of all files; of shards that were written; of files that were stored already, and not read. */
    uint64_t bytes, written, skipped;
    /* The number of source files that were removed; of files that were not imported; of unusual files that were; and of
     * revisions of a cache that could not be imported. */
    size_t moved, skipped_files, warnings, failures;
} weightstore_import_summary;

/* Imports a directory, a file or a Hugging Face cache. `options` and `summary` can be NULL. `revisions` has the imported
 * revisions, oldest first; it can be NULL. */
weightstore_status weightstore_import(
    weightstore_store *store, const char *source, const weightstore_import_options *options,
    weightstore_import_summary *summary, weightstore_list **revisions);

typedef struct weightstore_pull_options {
    size_t struct_size;
    /* The URL of the origin. NULL: the model's own. */
    const char *origin;
    /* Two numbers each, the first and the last one: only the tensors of these layers; of the tensors of experts, only those
     * of these experts. The other bytes are fetched at their first use. NULL: all. */
    const int64_t *layers, *experts;
    /* Files that match one of these shell patterns are fetched whole. With neither patterns nor numbers, all bytes are. */
    const char *const *include;
    size_t include_count;
    /* Not 0: keep files that break their format, without tensors. */
    int64_t opaque;
    weightstore_progress_function progress;
    void *context;
} weightstore_pull_options;

typedef struct weightstore_pull_summary {
    size_t struct_size;
    /* Bytes of all files, and those that were fetched. */
    uint64_t bytes, fetched;
    /* 1 if the store has all bytes of the revision. */
    int64_t complete;
} weightstore_pull_summary;

/* Adds a revision of an origin, "org/name" or "org/name@revision", and fetches its bytes. It resumes an interrupted pull.
 * `options` (NULL: everything), `summary` and `revisions` can be NULL; `revisions` has the one revision. */
weightstore_status weightstore_pull(
    weightstore_store *store, const char *name, const weightstore_pull_options *options,
    weightstore_pull_summary *summary, weightstore_list **revisions);

/* The models whose names match a shell pattern such as "org/?*", sorted by name; all if it is NULL. */
weightstore_status weightstore_models(weightstore_store *store, const char *pattern, weightstore_list **models);

/* The revisions of a model, oldest first. */
weightstore_status weightstore_revisions(weightstore_store *store, const char *model, weightstore_list **revisions);

typedef struct weightstore_model {
    size_t struct_size;
    const char *name;
    /* The number of complete revisions, and the newest version; -1 if none is complete. */
    size_t revisions;
    int64_t version;
    /* Of the newest version: bytes of its files, and the number of tensors and layers. */
    uint64_t bytes;
    size_t tensors, layers;
    /* The names of the refs, sorted. */
    const char *const *refs;
    size_t ref_count;
    /* 1 if a revision is pinned. */
    int64_t pinned;
    /* Why files of the newest version are missing; NULL if none is known to be missing. */
    const char *missing;
    /* The times of the newest version and of the last access, in seconds since 1970; the number of accesses. */
    int64_t modified, last_access, accesses;
} weightstore_model;

typedef struct weightstore_revision_entry {
    size_t struct_size;
    /* "org/name", and "org/name@~3". */
    const char *model, *name;
    /* The SHA-256 of the manifest, in hexadecimal; the hub's commit, or the first 40 digits of the digest. */
    const char *digest, *commit;
    /* The path or the URL that it was imported or pulled from. */
    const char *source;
    /* 1, 2, 3 …; -1 while an import that moves its files is not complete. */
    int64_t version;
    uint64_t bytes;
    size_t files, tensors, layers;
    const char *const *refs;
    size_t ref_count;
    /* The note of the pin; NULL if it is not pinned. */
    const char *pin;
    /* Why files are missing; NULL if none is known to be missing. */
    const char *missing;
    int64_t created, last_access, accesses;
} weightstore_revision_entry;

/* The number of rows of a list; a row of a list of models, or of revisions. The strings are valid until the list is
 * released. */
weightstore_status weightstore_list_count(weightstore_list *list, size_t *count);
weightstore_status weightstore_list_model(weightstore_list *list, size_t index, weightstore_model *model);
weightstore_status weightstore_list_revision(weightstore_list *list, size_t index, weightstore_revision_entry *revision);
weightstore_status weightstore_list_release(weightstore_list *list);

/* Creates the ref of a revision's model, or moves it to the revision. */
weightstore_status weightstore_tag(weightstore_store *store, const char *revision, const char *ref);

/* Removes a ref of a model; the revision stays. */
weightstore_status weightstore_untag(weightstore_store *store, const char *model, const char *ref);

typedef struct weightstore_removal_options {
    size_t struct_size;
    /* Not 0: remove pinned revisions, too; remove nothing, and count what would be freed. */
    int32_t force, dry_run;
    weightstore_progress_function progress;
    void *context;
} weightstore_removal_options;

typedef struct weightstore_removal_summary {
    size_t struct_size;
    /* The number of revisions, and of shards, that were removed. */
    size_t revisions, shards;
    /* Bytes of these shards on the disk. */
    uint64_t bytes;
} weightstore_removal_summary;

/* Removes models ("org/name") with all of their revisions, or single revisions ("org/name@~3"): all of them or none.
 * WEIGHTSTORE_BUSY if one is pinned, or held by a live process, which the message names. `options` and `summary` can be
 * NULL. */
weightstore_status weightstore_remove(
    weightstore_store *store, const char *const *names, size_t count, const weightstore_removal_options *options,
    weightstore_removal_summary *summary);

typedef struct weightstore_warm_options {
    size_t struct_size;
    /* Revisions to load; NULL and 0: the most used ones, `top` of them (0: five). */
    const char *const *revisions;
    size_t revision_count, top;
    /* Not 0: leave out shards that would have to be fetched. */
    int64_t no_fetch;
    weightstore_progress_function progress;
    void *context;
} weightstore_warm_options;

typedef struct weightstore_warm_summary {
    size_t struct_size;
    /* Bytes that were loaded. */
    uint64_t warmed;
    /* The number of revisions and prompts that were loaded, left out, and not loaded because of an error. */
    size_t items, skipped, failed;
} weightstore_warm_summary;

/* Loads revisions into a tier before they are needed. It does not count as an access. `options` and `summary` can be
 * NULL. */
weightstore_status weightstore_warm(
    weightstore_store *store, const char *tier, const weightstore_warm_options *options,
    weightstore_warm_summary *summary);

typedef struct weightstore_store_totals {
    size_t struct_size;
    uint64_t models, revisions, files, tensors, shards;
    /* Bytes of the shards that are stored. */
    uint64_t stored;
    /* KV blocks, and their bytes. */
    uint64_t kv_blocks, kv_stored;
    /* Shards that are quarantined or missing; pins; accesses. */
    uint64_t damaged, pins, accesses;
    /* Bytes: of the catalog; free on the disk. */
    uint64_t catalog, available;
} weightstore_store_totals;

/* Counts of a store. */
weightstore_status weightstore_store_statistics(
    weightstore_store *store, weightstore_store_totals *totals);

#ifdef __cplusplus
}
#endif

#endif
