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
 * Calls. Every function returns a status, and gives its result through its last pointer, which is left alone when the
 * status is not WEIGHTSTORE_OK. What went wrong is then told by weightstore_last_message() on the same thread.
 *
 * Handles are opaque, and never reused: one that was released is refused with WEIGHTSTORE_INVALID_HANDLE. Each is
 * released once. Releasing NULL does nothing. The order does not matter: a lease keeps its revision and its store.
 *
 * Threads. Every function may be called from any thread at any time. Calls block while bytes are read or fetched.
 *
 * Fork. A process that was forked after its parent opened a store must not call the library (WEIGHTSTORE_FORKED): a
 * connection to SQLite does not survive it. Memory of the parent's leases in the tier "ram" stays readable. Fork before
 * the first weightstore_open, or start a new program.
 *
 * Structures begin with struct_size, which the caller sets to sizeof: a later version of the library may know more
 * fields, and fills in only what the caller has room for.
 *
 * Strings are UTF-8, and end with a zero. Those in structures belong to the handle that was asked.
 *
 * Tiers: "ram", "host" (ordinary memory that behaves as a GPU's), "gpu" (the first CUDA device), "cuda:1", …
 */
#ifndef WEIGHTSTORE_H
#define WEIGHTSTORE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this interface. It changes when a function or a field changes its meaning, not when some are added. */
#define WEIGHTSTORE_ABI 1

typedef struct weightstore_store weightstore_store;
typedef struct weightstore_revision weightstore_revision;
typedef struct weightstore_lease weightstore_lease;

typedef enum weightstore_status {
    WEIGHTSTORE_OK = 0,
    /* NULL, out of range, no such tier, not a name. */
    WEIGHTSTORE_INVALID_ARGUMENT = 1,
    /* Released already, of another kind, or never given out. */
    WEIGHTSTORE_INVALID_HANDLE = 2,
    /* The process was forked after the library was used. */
    WEIGHTSTORE_FORKED = 3,
    /* No such model, revision, file, layer or tensor; or a name that fits several. */
    WEIGHTSTORE_NOT_FOUND = 4,
    /* Stored bytes are damaged or missing. */
    WEIGHTSTORE_DAMAGED = 5,
    /* No store there, or one that can't be opened. */
    WEIGHTSTORE_BAD_STORE = 6,
    /* The disk, or the store's quota, is full. */
    WEIGHTSTORE_DISK_FULL = 7,
    /* The tier has no room beside what leases hold. */
    WEIGHTSTORE_TIER_FULL = 8,
    /* Somebody else holds what is needed. */
    WEIGHTSTORE_BUSY = 9,
    /* No such device, no driver, or the driver failed. */
    WEIGHTSTORE_DEVICE = 10,
    /* The bytes are not here, and their origin can't be reached; */
    WEIGHTSTORE_UNREACHABLE = 11,
    /* wants a token; */
    WEIGHTSTORE_NOT_ALLOWED = 12,
    /* gave other bytes than were expected. */
    WEIGHTSTORE_BAD_ANSWER = 13,
    /* The element type can't be told in DLPack. */
    WEIGHTSTORE_UNSUPPORTED = 14,
    /* A system call failed. */
    WEIGHTSTORE_SYSTEM = 15,
    /* Anything else. */
    WEIGHTSTORE_FAILED = 16
} weightstore_status;

/* ---- The library ---------------------------------------------------------------------------------------------- */

/* WEIGHTSTORE_ABI as the library was built: compare it with the header's when the library is opened at run time. */
uint32_t weightstore_abi(void);

/* The status of the last call on this thread that failed. */
weightstore_status weightstore_last_status(void);

/* What happened then, to what, and what to do about it. Valid until the next failure on this thread; never NULL. */
const char *weightstore_last_message(void);

/* How many handles have been given out and not released: for tests of leaks. */
weightstore_status weightstore_open_handles(size_t *count);

/* ---- Stores ---------------------------------------------------------------------------------------------------- */

/* Opens the store in a directory. With NULL it is the one of the command-line tool: $WEIGHTSTORE_HOME, or
 * ~/.local/share/weightstore. */
weightstore_status weightstore_open(const char *path, weightstore_store **store);

/* Releases the handle. The store itself closes with the last of its revisions and leases. */
weightstore_status weightstore_close(weightstore_store *store);

typedef struct weightstore_tier_options {
    size_t struct_size;
    /* Bytes at most. 0: half of the memory that is free now, nine tenths of a GPU's. */
    uint64_t budget;
    /* The name of the policy by which shards go when the budget is full. NULL: lru. */
    const char *policy;
    /* Not 0: lock the pages of "ram", so that the kernel never takes them back. */
    int32_t lock_pages;
} weightstore_tier_options;

/* Opens a tier. Without this, it is opened with the default options at its first use; then it is too late. */
weightstore_status weightstore_open_tier(
    weightstore_store *store, const char *tier, const weightstore_tier_options *options);

typedef struct weightstore_tier_statistics {
    size_t struct_size;
    /* Bytes: at most; of the shards that are there; under way; held by leases. */
    uint64_t budget, bytes, loading, leased;
    /* Shards that are there. */
    uint64_t shards;
    /* Leases on shards that were there already, and on such that had to be brought in. */
    uint64_t hits, misses;
    /* Bytes brought in since the tier was opened; shards that went; loads that failed. */
    uint64_t loaded, evictions, failures;
} weightstore_tier_statistics;

/* How full a tier is, and what it did. WEIGHTSTORE_NOT_FOUND if it is not open. */
weightstore_status weightstore_statistics(
    weightstore_store *store, const char *tier, weightstore_tier_statistics *statistics);

/* ---- Revisions ------------------------------------------------------------------------------------------------- */

/* Finds and holds a revision: "model", "model@ref", "model@v3", "model@<commit>", "model@<digest>". Without "@" it is
 * the ref main, or else the last version. While it is held, nobody can remove it from the store. */
weightstore_status weightstore_resolve(
    weightstore_store *store, const char *name, weightstore_revision **revision);

weightstore_status weightstore_revision_release(weightstore_revision *revision);

typedef struct weightstore_revision_info {
    size_t struct_size;
    /* "org/name", and "org/name@v3". */
    const char *model, *name;
    /* The SHA-256 of the manifest, in hexadecimal. */
    const char *digest;
    /* 1, 2, 3 …; -1 while an import is still bringing files in. */
    int64_t version;
    /* How many tensors, layers and files can be asked for. */
    size_t tensors, layers, files;
    /* Of all tensors. */
    uint64_t bytes;
} weightstore_revision_info;

weightstore_status weightstore_revision_describe(
    weightstore_revision *revision, weightstore_revision_info *info);

typedef struct weightstore_tensor {
    size_t struct_size;
    const char *name;
    /* As the file spells it: "BF16", "Q4_K". */
    const char *dtype;
    /* The file of the revision that holds it. */
    const char *file;
    /* The path up to the layer's number, such as "model.layers", and the number; NULL and -1 outside every layer. */
    const char *stack;
    int64_t layer;
    /* -1 if it belongs to no single expert. */
    int64_t expert;
    /* Elements along each dimension, the outermost first, in files of every format; `rank` of them. */
    int64_t rank;
    const int64_t *shape;
    /* Elements from one index to the next along each dimension; NULL for types whose elements are packed in blocks. */
    const int64_t *strides;
    uint64_t bytes;
    /* The SHA-256 of the shard that holds the bytes, in hexadecimal; NULL for a tensor of zero bytes, and while the
     * bytes have never come. */
    const char *shard;
    /* Where the bytes are: an address in this process for "ram" and "host", on the device otherwise. Only for the
     * tensors of a lease, and as long as it is held; NULL otherwise, and for zero bytes. Read-only. */
    const void *data;
    /* DLPack's numbers: 1 is this process's memory, 2 is CUDA; and which device of that kind. 0: not in a tier. */
    int32_t device_type, device_id;
} weightstore_tensor;

/* A tensor of the revision: by file and name, from 0 to info.tensors - 1. Nothing is loaded. */
weightstore_status weightstore_tensor_at(
    weightstore_revision *revision, size_t index, weightstore_tensor *tensor);

typedef struct weightstore_layer {
    size_t struct_size;
    const char *stack;
    int64_t number;
    size_t tensors;
    uint64_t bytes;
} weightstore_layer;

/* A layer of the revision: by stack and number, from 0 to info.layers - 1. */
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

/* A file of the revision: by path, from 0 to info.files - 1. */
weightstore_status weightstore_file_at(
    weightstore_revision *revision, size_t index, weightstore_file *file);

/* Copies bytes of a file from `offset` on into `buffer`; `count` of them, fewer only at the end of the file. */
weightstore_status weightstore_read_file(
    weightstore_revision *revision, const char *path, uint64_t offset, void *buffer, size_t size, size_t *count);

/* ---- Leases ---------------------------------------------------------------------------------------------------- */

/* Each of these brings tensors into a tier, waits until they are there, and holds them there. What is there already is
 * not read again; what an origin has, and the store has not, is fetched. */

/* The tensors of a layer; those of one stack if `stack` is not NULL. */
weightstore_status weightstore_lease_layer(
    weightstore_revision *revision, const char *stack, int64_t layer, const char *tier, weightstore_lease **lease);

/* What belongs to no layer: embedding, final norm, head. */
weightstore_status weightstore_lease_rest(
    weightstore_revision *revision, const char *tier, weightstore_lease **lease);

/* One tensor; of all files that have one of that name if `file` is NULL. */
weightstore_status weightstore_lease_tensor(
    weightstore_revision *revision, const char *file, const char *name, const char *tier, weightstore_lease **lease);

/* All tensors of a file; of all files if `file` is NULL. */
weightstore_status weightstore_lease_file(
    weightstore_revision *revision, const char *file, const char *tier, weightstore_lease **lease);

/* Begins to bring layers into a tier, and returns at once. They stay there as long as the tier's policy likes: a lease
 * that comes soon finds them, and one that comes before they are there waits for the same load. A failure is told by
 * the lease. */
weightstore_status weightstore_prefetch_layers(
    weightstore_revision *revision, int64_t first, int64_t last, const char *tier);

typedef struct weightstore_lease_info {
    size_t struct_size;
    size_t tensors;
    /* Of its tensors. */
    uint64_t bytes;
} weightstore_lease_info;

weightstore_status weightstore_lease_describe(weightstore_lease *lease, weightstore_lease_info *info);

/* A tensor of the lease, with its address: by file and name, from 0 to info.tensors - 1. */
weightstore_status weightstore_lease_tensor_at(
    weightstore_lease *lease, size_t index, weightstore_tensor *tensor);

/* The index of a tensor of the lease; `file` may be NULL. */
weightstore_status weightstore_lease_find(
    weightstore_lease *lease, const char *file, const char *name, size_t *index);

/* A lease of its own on one tensor of a lease: the others may go when theirs is released. */
weightstore_status weightstore_lease_share(
    weightstore_lease *lease, size_t index, weightstore_lease **shared);

/* Gives the lease back. Its tensors must not be read any more. */
weightstore_status weightstore_lease_release(weightstore_lease *lease);

/* ---- DLPack ---------------------------------------------------------------------------------------------------- */

struct DLManagedTensor;
struct DLManagedTensorVersioned;

enum {
    /* As one dimension of bytes, whatever the element type: for types that the consumer does not know. */
    WEIGHTSTORE_DLPACK_BYTES = 1,
    /* As memory that may be written to: pages are shared with everybody until they are written, and then this tensor's
     * own. The store never sees it. Only for "ram". Tensors of one lease that lie in one shard share such pages. */
    WEIGHTSTORE_DLPACK_PRIVATE = 2
};

/* A tensor of a lease for DLPack's consumers. It has a lease of its own, which ends with its deleter: `lease` may be
 * released before. The memory is read-only unless WEIGHTSTORE_DLPACK_PRIVATE is asked for; the versioned form says so. */
weightstore_status weightstore_dlpack(
    weightstore_lease *lease, size_t index, uint32_t flags, struct DLManagedTensor **tensor);
weightstore_status weightstore_dlpack_versioned(
    weightstore_lease *lease, size_t index, uint32_t flags, struct DLManagedTensorVersioned **tensor);

#ifdef __cplusplus
}
#endif

#endif
