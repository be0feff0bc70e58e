/*
 * The whole interface as a C program uses it: interface STORE MODEL [gpu]
 *
 * Prints "tensor NAME DTYPE SHAPE FNV" for each tensor of the model, from its bytes in the tier ram, and "done".
 */
#include "check.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* DLPack's structures, as its own header has them. */
typedef struct {
    void *data;
    struct { int32_t device_type, device_id; } device;
    int32_t ndim;
    struct { uint8_t code, bits; uint16_t lanes; } dtype;
    int64_t *shape, *strides;
    uint64_t byte_offset;
} DLTensor;
typedef struct DLManagedTensor {
    DLTensor dl_tensor;
    void *manager_ctx;
    void (*deleter)(struct DLManagedTensor *);
} DLManagedTensor;
typedef struct DLManagedTensorVersioned {
    struct { uint32_t major, minor; } version;
    void *manager_ctx;
    void (*deleter)(struct DLManagedTensorVersioned *);
    uint64_t flags;
    DLTensor dl_tensor;
} DLManagedTensorVersioned;

static uint64_t fnv(const void *data, size_t size) {
    const unsigned char *bytes = data;
    uint64_t sum = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++) sum = (sum ^ bytes[i]) * 0x100000001b3u;
    return sum;
}

static size_t open_handles(void) {
    size_t count;
    OK(weightstore_open_handles(&count));
    return count;
}

static weightstore_tensor leased(weightstore_lease *lease, size_t index) {
    weightstore_tensor tensor = {.struct_size = sizeof tensor};
    OK(weightstore_lease_tensor_at(lease, index, &tensor));
    return tensor;
}

static void check_arguments(const char *path, const char *model) {
    weightstore_store *store = NULL, *none = NULL;
    weightstore_revision *revision = NULL;
    weightstore_lease *lease = NULL;
    weightstore_tensor tensor = {.struct_size = sizeof tensor};
    weightstore_layer layer = {.struct_size = sizeof layer};
    weightstore_file file = {.struct_size = sizeof file};
    weightstore_revision_info info = {.struct_size = sizeof info};
    weightstore_lease_info lease_info = {.struct_size = sizeof lease_info};
    weightstore_tier_statistics statistics = {.struct_size = sizeof statistics};
    weightstore_tier_options options = {.struct_size = sizeof options};
    DLManagedTensor *managed;
    size_t count;
    char byte;

    FAILS(WEIGHTSTORE_BAD_STORE, weightstore_open("/nowhere/at/all", &none));
    EXPECT(none == NULL);
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_open(path, NULL));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_open("\xff", &none));
    OK(weightstore_close(NULL));
    OK(weightstore_revision_release(NULL));
    OK(weightstore_lease_release(NULL));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_open_handles(NULL));

    OK(weightstore_open(path, &store));
    weightstore_store_info store_info = {.struct_size = sizeof store_info};
    OK(weightstore_store_describe(store, &store_info));
    char *absolute = realpath(path, NULL);
    EXPECT(absolute && strcmp(store_info.path, absolute) == 0);
    free(absolute);
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_store_describe(NULL, &store_info));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_store_describe(store, NULL));
    weightstore_dlpack_capsule_end(NULL); /* There is no Python here. */
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_resolve(NULL, model, &revision));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_resolve(store, NULL, &revision));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_resolve(store, model, NULL));
    FAILS(WEIGHTSTORE_NOT_FOUND, weightstore_resolve(store, "no/such", &revision));
    FAILS(WEIGHTSTORE_NOT_FOUND, weightstore_resolve(store, "", &revision));
    EXPECT(revision == NULL);
    OK(weightstore_resolve(store, model, &revision));

    FAILS(WEIGHTSTORE_INVALID_HANDLE, weightstore_resolve((weightstore_store *)revision, model, &revision));
    EXPECT(strstr(weightstore_last_message(), "it is a revision"));
    FAILS(WEIGHTSTORE_INVALID_HANDLE, weightstore_close((weightstore_store *)revision));
    FAILS(WEIGHTSTORE_INVALID_HANDLE, weightstore_close((weightstore_store *)&byte));

    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_revision_describe(NULL, &info));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_revision_describe(revision, NULL));
    info.struct_size = 0;
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_revision_describe(revision, &info));
    info.struct_size = sizeof info;
    OK(weightstore_revision_describe(revision, &info));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_tensor_at(revision, info.tensors, &tensor));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_tensor_at(revision, SIZE_MAX, &tensor));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_tensor_at(revision, 0, NULL));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_tensor_at(NULL, 0, &tensor));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_layer_at(revision, info.layers, &layer));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_layer_at(revision, 0, NULL));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_layer_at(NULL, 0, &layer));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_file_at(revision, info.files, &file));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_file_at(revision, 0, NULL));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_file_at(NULL, 0, &file));
    FAILS(WEIGHTSTORE_NOT_FOUND, weightstore_read_file(revision, "no.json", 0, &byte, 1, &count));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_read_file(revision, NULL, 0, &byte, 1, &count));
    FAILS(WEIGHTSTORE_NOT_FOUND, weightstore_metadata_count(revision, "no.gguf", &count));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_metadata_count(revision, NULL, &count));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_metadata_count(revision, "config.json", NULL));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_metadata_at(revision, "config.json", 0, NULL));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_read_file(revision, "config.json", 0, NULL, 1, &count));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_read_file(revision, "config.json", 0, &byte, SIZE_MAX, &count));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_read_file(revision, "config.json", 0, &byte, 1, NULL));
    OK(weightstore_read_file(revision, "config.json", UINT64_MAX, &byte, 1, &count));
    EXPECT(count == 0);

    FAILS(WEIGHTSTORE_NOT_FOUND, weightstore_statistics(store, "ram", &statistics));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_statistics(store, "disk", &statistics));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_statistics(store, NULL, &statistics));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_open_tier(store, "ram", NULL));
    options.budget = UINT64_MAX;
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_open_tier(store, "ram", &options));
    options.budget = 1 << 20;
    options.policy = "no such policy";
    EXPECT(weightstore_open_tier(store, "ram", &options) != WEIGHTSTORE_OK);
    options.policy = "lfu";
    /* The size of the first version of the structure. */
    options.struct_size = 32;
    OK(weightstore_open_tier(store, "ram", &options));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_open_tier(store, "ram", &options));
    FAILS(WEIGHTSTORE_TIER_FULL, weightstore_lease_file(revision, NULL, "ram", &lease));
    FAILS(WEIGHTSTORE_DEVICE, weightstore_lease_layer(revision, NULL, 0, "cuda:63", &lease));

    FAILS(WEIGHTSTORE_NOT_FOUND, weightstore_lease_layer(revision, NULL, 99, "host", &lease));
    FAILS(WEIGHTSTORE_NOT_FOUND, weightstore_lease_layer(revision, NULL, INT64_MIN, "host", &lease));
    FAILS(WEIGHTSTORE_NOT_FOUND, weightstore_lease_layer(revision, "no.stack", 0, "host", &lease));
    FAILS(WEIGHTSTORE_NOT_FOUND, weightstore_lease_experts(revision, 0, 0, 7, "host", &lease));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_lease_experts(revision, 0, 2, 1, "host", &lease));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_lease_experts(revision, 0, -1, 1, "host", &lease));
    FAILS(WEIGHTSTORE_NOT_FOUND, weightstore_lease_layer_with_experts(revision, 99, 0, 7, "host", &lease));
    FAILS(WEIGHTSTORE_NOT_FOUND, weightstore_lease_layer_with_experts(revision, 0, 0, 7, "host", &lease));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_lease_layer_with_experts(revision, 0, 2, 1, "host", &lease));
    FAILS(WEIGHTSTORE_NOT_FOUND, weightstore_lease_tensor(revision, NULL, "no tensor", "host", &lease));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_lease_tensor(revision, NULL, NULL, "host", &lease));
    FAILS(WEIGHTSTORE_NOT_FOUND, weightstore_lease_file(revision, "no file", "host", &lease));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_lease_rest(revision, NULL, &lease));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_lease_rest(revision, "host", NULL));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_lease_rest(NULL, "host", &lease));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_prefetch_layers(revision, 1, 0, "host"));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_prefetch_layers(revision, -1, 0, "host"));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_prefetch_layers_with_experts(revision, 0, 1, 3, 2, "host"));
    FAILS(WEIGHTSTORE_NOT_FOUND, weightstore_prefetch_layers_with_experts(revision, 98, 99, 0, 2, "host"));
    FAILS(WEIGHTSTORE_NOT_FOUND, weightstore_prefetch_layers_with_experts(revision, 0, 1, 0, 2, "host"));
    FAILS(WEIGHTSTORE_NOT_FOUND, weightstore_prefetch_layers(revision, 98, 99, "host"));
    EXPECT(lease == NULL);

    OK(weightstore_lease_rest(revision, "host", &lease));
    OK(weightstore_lease_describe(lease, &lease_info));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_lease_describe(lease, NULL));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_lease_tensor_at(lease, lease_info.tensors, &tensor));
    FAILS(WEIGHTSTORE_NOT_FOUND, weightstore_lease_find(lease, "no file", leased(lease, 0).name, &count));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_lease_find(lease, NULL, NULL, &count));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_lease_share(lease, lease_info.tensors, &lease));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_lease_share(lease, 0, NULL));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_dlpack(lease, 0, 8, &managed));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_dlpack(lease, 0, 0, NULL));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_dlpack(lease, lease_info.tensors, 0, &managed));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_dlpack(lease, 0, WEIGHTSTORE_DLPACK_PRIVATE, &managed));

    OK(weightstore_close(store));
    FAILS(WEIGHTSTORE_INVALID_HANDLE, weightstore_close(store));
    FAILS(WEIGHTSTORE_INVALID_HANDLE, weightstore_resolve(store, model, &revision));
    /* Leases that were acquired from it stay valid. */
    OK(weightstore_tensor_at(revision, 0, &tensor));
    OK(weightstore_revision_release(revision));
    FAILS(WEIGHTSTORE_INVALID_HANDLE, weightstore_revision_release(revision));
    FAILS(WEIGHTSTORE_INVALID_HANDLE, weightstore_tensor_at(revision, 0, &tensor));
    tensor = leased(lease, 0);
    EXPECT(fnv(tensor.data, tensor.bytes) != 0);
    OK(weightstore_lease_release(lease));
    FAILS(WEIGHTSTORE_INVALID_HANDLE, weightstore_lease_release(lease));
    FAILS(WEIGHTSTORE_INVALID_HANDLE, weightstore_lease_tensor_at(lease, 0, &tensor));
    EXPECT(open_handles() == 0);
}

/* A caller that was compiled against an older header has space for fewer fields. */
static void check_sizes(weightstore_revision *revision) {
    struct { weightstore_layer layer; char behind; } place;
    memset(&place, 0x7f, sizeof place);
    place.layer.struct_size = sizeof place.layer;
    OK(weightstore_layer_at(revision, 0, &place.layer));
    EXPECT(place.behind == 0x7f && place.layer.struct_size == sizeof place.layer && place.layer.number == 0);
    /* A caller that was compiled against a newer header has more fields, which are not written. */
    struct { weightstore_layer layer; uint64_t more; } newer = {.layer.struct_size = sizeof newer, .more = 77};
    OK(weightstore_layer_at(revision, 0, &newer.layer));
    EXPECT(newer.more == 77 && newer.layer.tensors == place.layer.tensors);
}

static void print_tensors(weightstore_store *store, weightstore_revision *revision) {
    weightstore_revision_info info = {.struct_size = sizeof info};
    OK(weightstore_revision_describe(revision, &info));
    uint64_t bytes = 0;
    size_t in_layers = 0, outside = 0;
    for (size_t i = 0; i < info.layers; i++) {
        weightstore_layer layer = {.struct_size = sizeof layer};
        weightstore_lease *lease;
        weightstore_lease_info lease_info = {.struct_size = sizeof lease_info};
        OK(weightstore_layer_at(revision, i, &layer));
        OK(weightstore_lease_layer(revision, layer.stack, layer.number, "ram", &lease));
        OK(weightstore_lease_describe(lease, &lease_info));
        EXPECT(lease_info.tensors == layer.tensors && lease_info.bytes == layer.bytes);
        in_layers += layer.tensors;
        bytes += layer.bytes;
        for (size_t t = 0; t < lease_info.tensors; t++) EXPECT(leased(lease, t).layer == layer.number);
        OK(weightstore_lease_release(lease));
    }
    for (size_t i = 0; i < info.tensors; i++) {
        weightstore_tensor tensor = {.struct_size = sizeof tensor}, ram, host;
        weightstore_lease *in_ram, *on_host;
        size_t index;
        OK(weightstore_tensor_at(revision, i, &tensor));
        EXPECT(tensor.data == NULL && tensor.device_type == 0);
        if (tensor.layer < 0) {
            outside++;
            bytes += tensor.bytes;
        }
        OK(weightstore_lease_tensor(revision, tensor.file, tensor.name, "ram", &in_ram));
        OK(weightstore_lease_tensor(revision, NULL, tensor.name, "host", &on_host));
        OK(weightstore_lease_find(in_ram, tensor.file, tensor.name, &index));
        ram = leased(in_ram, index);
        host = leased(on_host, 0);
        EXPECT(ram.device_type == 1 && host.device_type == 1 && ram.bytes == tensor.bytes);
        EXPECT(strcmp(ram.name, tensor.name) == 0 && ram.rank == tensor.rank);
        if (tensor.bytes > 0) {
            /* The blob has the tensor's bytes. */
            char path[4096];
            weightstore_store_info store_info = {.struct_size = sizeof store_info};
            OK(weightstore_store_describe(store, &store_info));
            snprintf(path, sizeof path, "%s/blobs/%.2s/%s", store_info.path, tensor.shard, tensor.shard);
            char *copy = malloc(tensor.bytes);
            FILE *blob = fopen(path, "rb");
            EXPECT(blob && fseek(blob, (long)tensor.shard_offset, SEEK_SET) == 0);
            EXPECT(fread(copy, 1, tensor.bytes, blob) == tensor.bytes);
            EXPECT(memcmp(copy, ram.data, tensor.bytes) == 0 && ram.shard_offset == tensor.shard_offset);
            fclose(blob);
            free(copy);
        }
        EXPECT(tensor.bytes == 0 || (ram.data != host.data && memcmp(ram.data, host.data, tensor.bytes) == 0));
        printf("tensor %s %s ", ram.name, ram.dtype);
        int64_t step = 1;
        for (int64_t d = ram.rank - 1; d >= 0; d--) {
            EXPECT(ram.strides[d] == step);
            step *= ram.shape[d];
        }
        for (int64_t d = 0; d < ram.rank; d++) printf("%s%" PRId64, d ? "," : "", ram.shape[d]);
        printf(" %016" PRIx64 "\n", fnv(ram.data, ram.bytes));
        OK(weightstore_lease_release(in_ram));
        OK(weightstore_lease_release(on_host));
    }
    EXPECT(in_layers + outside == info.tensors && bytes == info.bytes);
}

static void check_files(weightstore_revision *revision) {
    weightstore_revision_info info = {.struct_size = sizeof info};
    OK(weightstore_revision_describe(revision, &info));
    int seen = 0;
    for (size_t i = 0; i < info.files; i++) {
        weightstore_file file = {.struct_size = sizeof file};
        OK(weightstore_file_at(revision, i, &file));
        EXPECT(strlen(file.digest) == 64);
        char *whole = malloc(file.bytes + 10), two[2];
        size_t count;
        OK(weightstore_read_file(revision, file.path, 0, whole, file.bytes + 10, &count));
        EXPECT(count == file.bytes);
        OK(weightstore_read_file(revision, file.path, file.bytes - 1, two, 2, &count));
        EXPECT(count == 1 && two[0] == whole[file.bytes - 1]);
        const int is_model = strcmp(file.path, "model.safetensors") == 0;
        OK(weightstore_metadata_count(revision, file.path, &count));
        EXPECT(is_model || count == 0);
        weightstore_metadata metadata = {.struct_size = sizeof metadata};
        for (size_t entry = 0; entry < count; entry++) {
            OK(weightstore_metadata_at(revision, file.path, entry, &metadata));
            const weightstore_text *value = metadata.values;
            EXPECT(metadata.key[0] != 0 && strcmp(metadata.type, "string") == 0 && metadata.count == -1);
            EXPECT(value->data[value->size] == 0);
        }
        FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_metadata_at(revision, file.path, count, &metadata));
        int32_t selected = -1;
        OK(weightstore_file_is_selected(revision, i, &selected));
        EXPECT(selected == is_model);
        FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_file_is_selected(revision, info.files, &selected));
        if (strcmp(file.path, "config.json") == 0) seen = whole[0] == '{' && strcmp(file.format, "other") == 0;
        free(whole);
    }
    EXPECT(seen);
}

static void check_leases(weightstore_store *store, weightstore_revision *revision) {
    weightstore_lease *all, *one;
    weightstore_tier_statistics before = {.struct_size = sizeof before}, after = before;
    OK(weightstore_statistics(store, "ram", &before));
    EXPECT(before.leased == 0 && before.shards > 0 && before.misses > 0 && before.bytes <= before.budget);
    OK(weightstore_lease_file(revision, NULL, "ram", &all));
    OK(weightstore_statistics(store, "ram", &after));
    EXPECT(after.leased == after.bytes && after.hits > before.hits);
    /* A shared tensor stays when the others are released. */
    OK(weightstore_lease_share(all, 0, &one));
    weightstore_tensor tensor = leased(one, 0);
    uint64_t sum = fnv(tensor.data, tensor.bytes);
    OK(weightstore_lease_release(all));
    OK(weightstore_statistics(store, "ram", &after));
    EXPECT(0 < after.leased && after.leased < after.bytes);
    EXPECT(fnv(tensor.data, tensor.bytes) == sum);
    OK(weightstore_lease_release(one));
    OK(weightstore_statistics(store, "ram", &after));
    EXPECT(after.leased == 0);
}

static void check_dlpack(weightstore_store *store, weightstore_revision *revision) {
    weightstore_lease *lease;
    weightstore_tier_statistics statistics = {.struct_size = sizeof statistics};
    DLManagedTensor *plain, *bytes, *own, *again;
    DLManagedTensorVersioned *versioned;
    OK(weightstore_lease_layer(revision, NULL, 0, "ram", &lease));
    weightstore_tensor tensor = leased(lease, 0);
    OK(weightstore_dlpack(lease, 0, 0, &plain));
    OK(weightstore_dlpack(lease, 0, WEIGHTSTORE_DLPACK_BYTES, &bytes));
    OK(weightstore_dlpack(lease, 0, WEIGHTSTORE_DLPACK_PRIVATE, &own));
    OK(weightstore_dlpack_versioned(lease, 0, 0, &versioned));
    uint64_t sum = fnv(tensor.data, tensor.bytes);
    EXPECT(plain->dl_tensor.data == tensor.data && plain->dl_tensor.ndim == tensor.rank);
    EXPECT(plain->dl_tensor.device.device_type == 1 && plain->dl_tensor.dtype.lanes == 1);
    for (int64_t d = 0; d < tensor.rank; d++) {
        EXPECT(plain->dl_tensor.shape[d] == tensor.shape[d] && plain->dl_tensor.strides[d] == tensor.strides[d]);
    }
    EXPECT(bytes->dl_tensor.ndim == 1 && bytes->dl_tensor.shape[0] == (int64_t)tensor.bytes);
    EXPECT(bytes->dl_tensor.dtype.code == 1 && bytes->dl_tensor.dtype.bits == 8);
    EXPECT(versioned->version.major == 1 && versioned->flags == 1 && versioned->dl_tensor.data == tensor.data);
    EXPECT(own->dl_tensor.data != tensor.data && fnv(own->dl_tensor.data, tensor.bytes) == sum);
    memset(own->dl_tensor.data, 0x55, tensor.bytes);
    EXPECT(fnv(tensor.data, tensor.bytes) == sum);
    OK(weightstore_lease_release(lease));
    /* The tensors hold their bytes without the lease. */
    EXPECT(fnv(plain->dl_tensor.data, tensor.bytes) == sum);
    OK(weightstore_statistics(store, "ram", &statistics));
    EXPECT(statistics.leased > 0);
    plain->deleter(plain);
    bytes->deleter(bytes);
    own->deleter(own);
    versioned->deleter(versioned);
    OK(weightstore_statistics(store, "ram", &statistics));
    EXPECT(statistics.leased == 0);
    /* The written pages were private. */
    OK(weightstore_lease_layer(revision, NULL, 0, "ram", &lease));
    OK(weightstore_dlpack(lease, 0, WEIGHTSTORE_DLPACK_PRIVATE, &again));
    OK(weightstore_lease_release(lease));
    EXPECT(fnv(again->dl_tensor.data, tensor.bytes) == sum);
    again->deleter(again);
}

/* Tensors with equal bytes are one memory for readers, and separate ones for writers. */
static void check_equal_tensors(weightstore_revision *revision) {
    weightstore_lease *all;
    weightstore_lease_info info = {.struct_size = sizeof info};
    DLManagedTensor *one, *two, *again;
    size_t pairs = 0;
    OK(weightstore_lease_file(revision, NULL, "ram", &all));
    OK(weightstore_lease_describe(all, &info));
    for (size_t i = 0; i < info.tensors; i++) {
        for (size_t j = i + 1; j < info.tensors; j++) {
            weightstore_tensor first = leased(all, i), second = leased(all, j);
            if (first.data != second.data || first.bytes == 0) continue;
            EXPECT(strcmp(first.shard, second.shard) == 0 && first.bytes == second.bytes);
            pairs++;
            OK(weightstore_dlpack(all, i, WEIGHTSTORE_DLPACK_PRIVATE, &one));
            OK(weightstore_dlpack(all, j, WEIGHTSTORE_DLPACK_PRIVATE, &two));
            OK(weightstore_dlpack(all, j, WEIGHTSTORE_DLPACK_PRIVATE, &again));
            EXPECT(again->dl_tensor.data == two->dl_tensor.data);
            uint64_t sum = fnv(second.data, second.bytes);
            memset(one->dl_tensor.data, 0x55, first.bytes);
            EXPECT(fnv(two->dl_tensor.data, second.bytes) == sum && fnv(second.data, second.bytes) == sum);
            one->deleter(one);
            two->deleter(two);
            again->deleter(again);
        }
    }
    EXPECT(pairs == 1);
    OK(weightstore_lease_release(all));
}

/* One call for many tensors, writable memory, and parts of tensors. */
static void check_batches(weightstore_store *store, weightstore_revision *revision) {
    weightstore_revision_info info = {.struct_size = sizeof info};
    weightstore_tier_statistics statistics = {.struct_size = sizeof statistics};
    weightstore_lease *all, *own, *lazy;
    OK(weightstore_revision_describe(revision, &info));
    size_t count = info.tensors;
    weightstore_tensor *known = calloc(count, sizeof *known), *read = calloc(count, sizeof *read);
    weightstore_tensor *written = calloc(count, sizeof *written);
    weightstore_lease **shared = calloc(count, sizeof *shared);
    known[0].struct_size = read[0].struct_size = written[0].struct_size = sizeof *known;
    OK(weightstore_tensors(revision, 0, count, known));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_tensors(revision, 1, count, known));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_tensors(revision, SIZE_MAX, 1, known));
    OK(weightstore_tensors(revision, count, 0, NULL));
    OK(weightstore_lease_file(revision, NULL, "ram", &all));
    OK(weightstore_lease_tensors(all, 0, count, read));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_lease_writable(revision, NULL, NULL, 2, &own));
    OK(weightstore_lease_writable(revision, NULL, NULL, 0, &own));
    OK(weightstore_lease_tensors(own, 0, count, written));
    /* One lease for each memory, and one for each tensor. */
    const void **addresses = calloc(count, sizeof *addresses);
    OK(weightstore_lease_writable(revision, NULL, NULL, 0, &lazy));
    OK(weightstore_lease_share_memory(lazy, 0, count, shared));
    OK(weightstore_lease_addresses(lazy, 0, count, addresses));
    OK(weightstore_lease_release(lazy));
    size_t leases = 0;
    for (size_t i = 0; i < count; i++) EXPECT(known[i].bytes == 0 || memcmp(addresses[i], read[i].data, known[i].bytes) == 0);
    for (size_t i = 0; i < count; i++) {
        size_t first = 0;
        while (shared[first] != shared[i]) first++;
        if (first < i) {
            EXPECT(strcmp(known[first].shard, known[i].shard) == 0);
            continue;
        }
        leases++;
        EXPECT(known[i].bytes == 0 || leased(shared[i], 0).data == addresses[i]);
    }
    EXPECT(leases < count);
    for (size_t i = 0; i < count; i++) {
        size_t first = 0;
        while (shared[first] != shared[i]) first++;
        if (first == i) OK(weightstore_lease_release(shared[i]));
    }
    OK(weightstore_lease_share_tensors(own, 0, count, shared));
    OK(weightstore_lease_addresses(own, 0, count, addresses));
    for (size_t i = 0; i < count; i++) EXPECT(addresses[i] == written[i].data);
    OK(weightstore_lease_addresses(all, count - 1, 1, addresses));
    EXPECT(addresses[0] == read[count - 1].data);
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_lease_addresses(all, 1, count, addresses));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_lease_addresses(all, 0, 1, NULL));
    free(addresses);
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_lease_read(all, 0, 0, 1));
    for (size_t i = 0; i < count; i++) {
        weightstore_tensor one = leased(all, i);
        EXPECT(strcmp(known[i].name, one.name) == 0 && strcmp(written[i].name, one.name) == 0);
        EXPECT(read[i].data == one.data && read[i].bytes == one.bytes && written[i].bytes == one.bytes);
        EXPECT(one.bytes == 0 || memcmp(written[i].data, one.data, one.bytes) == 0);
        /* A whole tensor, and every second byte of 16. */
        uint8_t *bytes = malloc(one.bytes + 1), few[8];
        weightstore_tensor_parts whole = {sizeof whole, 0, one.bytes, 0, 1}, odd = {sizeof odd, 1, 1, 2, 8};
        OK(weightstore_read_tensor(revision, one.file, one.name, &whole, bytes, one.bytes));
        EXPECT(one.bytes == 0 || memcmp(bytes, one.data, one.bytes) == 0);
        if (one.bytes > 16) {
            OK(weightstore_read_tensor(revision, one.file, one.name, &odd, few, sizeof few));
            for (int j = 0; j < 8; j++) EXPECT(few[j] == bytes[1 + 2 * j]);
            FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_read_tensor(revision, one.file, one.name, &odd, few, 7));
        }
        int32_t stored = 0;
        OK(weightstore_tensor_is_stored(revision, one.file, one.name, &stored));
        EXPECT(stored == 1);
        OK(weightstore_lease_writable(revision, one.file, one.name, WEIGHTSTORE_LEASE_LAZY, &lazy));
        FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_lease_read(lazy, 0, 0, one.bytes + 1));
        OK(weightstore_lease_read(lazy, 0, one.bytes / 3, one.bytes - one.bytes / 3));
        weightstore_tensor late = leased(lazy, 0);
        EXPECT(one.bytes == 0 || memcmp(late.data, one.data, one.bytes) == 0);
        OK(weightstore_lease_release(lazy));
        /* The tensors of the same shard, in the order of all. */
        FAILS(WEIGHTSTORE_INVALID_ARGUMENT,
              weightstore_lease_writable(revision, NULL, one.name, WEIGHTSTORE_LEASE_NEIGHBOURS, &lazy));
        OK(weightstore_lease_writable(
            revision, one.file, one.name, WEIGHTSTORE_LEASE_NEIGHBOURS | WEIGHTSTORE_LEASE_LAZY, &lazy));
        weightstore_lease_info near = {.struct_size = sizeof near};
        OK(weightstore_lease_describe(lazy, &near));
        size_t found = 0;
        for (size_t j = 0; j < count; j++) {
            const char *shard = known[i].shard;
            if (i != j && (shard == NULL || known[j].shard == NULL || strcmp(known[j].shard, shard) != 0)) continue;
            if (strcmp(known[j].file, one.file) != 0) continue;
            EXPECT(found < near.tensors && strcmp(leased(lazy, found).name, known[j].name) == 0);
            OK(weightstore_lease_read(lazy, found, 0, known[j].bytes));
            EXPECT(known[j].bytes == 0 || memcmp(leased(lazy, found).data, read[j].data, known[j].bytes) == 0);
            found++;
        }
        EXPECT(found == near.tensors);
        OK(weightstore_lease_release(lazy));
        free(bytes);
    }
    /* Writable memory is that of one tensor, its own lease holds it, and the store does not change. */
    OK(weightstore_lease_release(own));
    for (size_t i = 0; i < count; i++) memset((void *)written[i].data, (int)i, written[i].bytes);
    for (size_t i = 0; i < count; i++) {
        if (written[i].bytes == 0) continue;
        EXPECT(((const uint8_t *)written[i].data)[0] == (uint8_t)i);
        EXPECT(((const uint8_t *)written[i].data)[written[i].bytes - 1] == (uint8_t)i);
        OK(weightstore_lease_writable(revision, read[i].file, read[i].name, 0, &lazy));
        EXPECT(memcmp(leased(lazy, 0).data, read[i].data, read[i].bytes) == 0);
        OK(weightstore_lease_release(lazy));
    }
    for (size_t i = 0; i < count; i++) OK(weightstore_lease_release(shared[i]));
    OK(weightstore_lease_release(all));
    OK(weightstore_statistics(store, "ram", &statistics));
    EXPECT(statistics.leased == 0);
    free(known);
    free(read);
    free(written);
    free(shared);
}

static weightstore_revision *shared_revision;
static uint64_t layer_sums[2];

static void *lease_in_turn(void *argument) {
    unsigned seed = (unsigned)(size_t)argument;
    const char *tier = seed % 2 ? "ram" : "host";
    EXPECT(weightstore_last_message()[0] == 0 && weightstore_last_status() == WEIGHTSTORE_OK);
    FAILS(WEIGHTSTORE_NOT_FOUND, weightstore_prefetch_layers(shared_revision, 50 + seed, 60, tier));
    char message[400];
    snprintf(message, sizeof message, "%s", weightstore_last_message());
    for (int i = 0; i < 50; i++) {
        weightstore_lease *lease;
        int layer = rand_r(&seed) % 2;
        OK(weightstore_prefetch_layers(shared_revision, 0, 1, tier));
        OK(weightstore_lease_layer(shared_revision, NULL, layer, tier, &lease));
        weightstore_tensor tensor = leased(lease, 0);
        EXPECT(tensor.layer == layer && fnv(tensor.data, tensor.bytes) == layer_sums[layer]);
        OK(weightstore_lease_release(lease));
    }
    /* The thread's own failure, whatever failed on the others. */
    EXPECT(strcmp(message, weightstore_last_message()) == 0);
    return NULL;
}

static void check_threads(weightstore_revision *revision) {
    pthread_t threads[4];
    shared_revision = revision;
    for (int layer = 0; layer < 2; layer++) {
        weightstore_lease *lease;
        OK(weightstore_lease_layer(revision, NULL, layer, "ram", &lease));
        layer_sums[layer] = fnv(leased(lease, 0).data, leased(lease, 0).bytes);
        OK(weightstore_lease_release(lease));
    }
    for (size_t i = 0; i < 4; i++) EXPECT(pthread_create(&threads[i], NULL, lease_in_turn, (void *)i) == 0);
    for (size_t i = 0; i < 4; i++) EXPECT(pthread_join(threads[i], NULL) == 0);
}

static void ignore_line(int32_t level, const char *message, void *context) {
    (void)level, (void)message, (void)context;
}

/* A work ends the calls that have to wait, and not those on what is resident. */
static void check_work(const char *path, const char *model) {
    weightstore_store *store;
    weightstore_revision *revision;
    weightstore_lease *lease, *held;
    weightstore_work *over, *parent, *inner, *none = NULL;
    OK(weightstore_open(path, &store));
    OK(weightstore_resolve(store, model, &revision));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_work_new(NULL, 0, NULL));
    FAILS(WEIGHTSTORE_INVALID_HANDLE, weightstore_work_new((weightstore_work *)store, 0, &none));
    FAILS(WEIGHTSTORE_INVALID_HANDLE, weightstore_work_use((weightstore_work *)store));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_work_cancel(NULL));
    EXPECT(none == NULL);
    OK(weightstore_work_new(NULL, 0, &over));
    OK(weightstore_work_new(NULL, 3600000, &parent));
    OK(weightstore_work_new(parent, -1, &inner));
    OK(weightstore_work_use(over));
    FAILS(WEIGHTSTORE_TIMED_OUT, weightstore_lease_layer(revision, NULL, 0, "ram", &lease));
    OK(weightstore_work_use(inner));
    OK(weightstore_lease_layer(revision, NULL, 0, "ram", &held));
    OK(weightstore_work_cancel(parent));
    FAILS(WEIGHTSTORE_CANCELLED, weightstore_lease_layer(revision, NULL, 1, "ram", &lease));
    OK(weightstore_lease_layer(revision, NULL, 0, "ram", &lease));
    OK(weightstore_lease_release(lease));
    /* The thread keeps its work. */
    OK(weightstore_work_release(inner));
    OK(weightstore_work_release(parent));
    FAILS(WEIGHTSTORE_CANCELLED, weightstore_lease_layer(revision, NULL, 1, "ram", &lease));
    OK(weightstore_work_use(NULL));
    OK(weightstore_lease_layer(revision, NULL, 1, "ram", &lease));
    OK(weightstore_lease_release(lease));
    OK(weightstore_lease_release(held));
    OK(weightstore_work_release(over));
    FAILS(WEIGHTSTORE_INVALID_HANDLE, weightstore_work_release(over));
    OK(weightstore_set_log(ignore_line, NULL));
    OK(weightstore_set_log(NULL, NULL));
    OK(weightstore_revision_release(revision));
    OK(weightstore_close(store));
}

/* Tiers return their memory: cleared, closed, and opened again with another budget. */
static void check_memory(const char *path, const char *model) {
    weightstore_store *store;
    weightstore_revision *revision;
    weightstore_lease *held, *lease = NULL;
    weightstore_tier_statistics statistics = {.struct_size = sizeof statistics};
    weightstore_tier_options options = {.struct_size = sizeof options};
    uint64_t bytes = 7;
    OK(weightstore_open(path, &store));
    OK(weightstore_resolve(store, model, &revision));
    OK(weightstore_tier_clear(store, "ram", &bytes));
    EXPECT(bytes == 0);
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_tier_clear(NULL, "ram", &bytes));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_tier_clear(store, "disk", &bytes));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_tier_close(store, NULL, &bytes));
    FAILS(WEIGHTSTORE_INVALID_HANDLE, weightstore_tier_close((weightstore_store *)revision, "ram", &bytes));
    const char *wrong[] = {"", "0", "12X", "101%", "\xff"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_tier_budget("ram", wrong[i], &bytes));
    }
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_tier_budget("ram", NULL, &bytes));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_tier_budget("disk", "8G", &bytes));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_tier_budget("ram", "8G", NULL));
    OK(weightstore_tier_budget("ram", "8GiB", &bytes));
    EXPECT(bytes == (uint64_t)8 << 30);
    OK(weightstore_tier_budget("host", "50%", &bytes));
    EXPECT(bytes > 0);

    const char *tiers[] = {"ram", "host"};
    for (size_t i = 0; i < 2; i++) {
        OK(weightstore_lease_layer(revision, NULL, 0, tiers[i], &held));
        OK(weightstore_lease_layer(revision, NULL, 1, tiers[i], &lease));
        OK(weightstore_lease_release(lease));
        uint64_t freed = 0;
        // The thread that loaded the bytes may release them a moment later.
        for (int tries = 0; tries < 60000; tries++) {
            OK(weightstore_tier_clear(store, tiers[i], &bytes));
            OK(weightstore_statistics(store, tiers[i], &statistics));
            freed += bytes;
            if (freed > 0 && statistics.bytes == statistics.leased) break;
            poll(NULL, 0, 1);
        }
        EXPECT(freed > 0 && statistics.bytes == statistics.leased && statistics.leased > 0);
        weightstore_tensor tensor = leased(held, 0);
        uint64_t sum = fnv(tensor.data, tensor.bytes);
        OK(weightstore_tier_close(store, tiers[i], NULL));
        FAILS(WEIGHTSTORE_NOT_FOUND, weightstore_statistics(store, tiers[i], &statistics));
        FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_lease_layer(revision, NULL, 0, tiers[i], &lease));
        EXPECT(strstr(weightstore_last_message(), "closed"));
        EXPECT(fnv(tensor.data, tensor.bytes) == sum);
        options.budget = (64 << 20) + i;
        OK(weightstore_open_tier(store, tiers[i], &options));
        OK(weightstore_lease_layer(revision, NULL, 0, tiers[i], &lease));
        EXPECT(fnv(leased(lease, 0).data, leased(lease, 0).bytes) == sum);
        OK(weightstore_statistics(store, tiers[i], &statistics));
        EXPECT(statistics.budget == options.budget / 512 * 512 || statistics.budget == options.budget);
        OK(weightstore_lease_release(held));
        OK(weightstore_lease_release(lease));
    }
    OK(weightstore_revision_release(revision));
    OK(weightstore_close(store));
}

/* A tier cannot be opened without a free descriptor, and the message says why. */
static void check_without_descriptors(const char *path, const char *model) {
    weightstore_store *store;
    weightstore_revision *revision;
    weightstore_lease *lease = NULL;
    OK(weightstore_open(path, &store));
    OK(weightstore_resolve(store, model, &revision));
    struct rlimit former, small;
    int filled[256], count = 0;
    EXPECT(getrlimit(RLIMIT_NOFILE, &former) == 0);
    small = former;
    small.rlim_cur = 256;
    EXPECT(setrlimit(RLIMIT_NOFILE, &small) == 0);
    while (count < 256 && (filled[count] = dup(0)) >= 0) count++;
    EXPECT(weightstore_lease_file(revision, NULL, "ram", &lease) != WEIGHTSTORE_OK);
    EXPECT(strstr(weightstore_last_message(), strerror(EMFILE)) != NULL);
    while (count > 0) close(filled[--count]);
    EXPECT(setrlimit(RLIMIT_NOFILE, &former) == 0);
    OK(weightstore_lease_file(revision, NULL, "ram", &lease));
    OK(weightstore_lease_release(lease));
    OK(weightstore_revision_release(revision));
    OK(weightstore_close(store));
}

static void check_fork(weightstore_store *store, weightstore_revision *revision) {
    weightstore_lease *lease, *other;
    DLManagedTensor *managed;
    OK(weightstore_lease_layer(revision, NULL, 1, "ram", &lease));
    OK(weightstore_dlpack(lease, 0, 0, &managed));
    weightstore_tensor tensor = leased(lease, 0);
    uint64_t sum = fnv(tensor.data, tensor.bytes);
    pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        size_t count;
        EXPECT(fnv(tensor.data, tensor.bytes) == sum);
        FAILS(WEIGHTSTORE_FORKED, weightstore_open(NULL, &store));
        FAILS(WEIGHTSTORE_FORKED, weightstore_lease_layer(revision, NULL, 0, "ram", &other));
        FAILS(WEIGHTSTORE_FORKED, weightstore_lease_release(lease));
        FAILS(WEIGHTSTORE_FORKED, weightstore_close(store));
        FAILS(WEIGHTSTORE_FORKED, weightstore_open_handles(&count));
        managed->deleter(managed);
        EXPECT(fnv(tensor.data, tensor.bytes) == sum);
        /* Not _exit: a leak checker would look for the parent's memory. */
        execl("/bin/true", "true", (char *)NULL);
        _exit(1);
    }
    int status;
    EXPECT(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    EXPECT(fnv(tensor.data, tensor.bytes) == sum);
    managed->deleter(managed);
    OK(weightstore_lease_release(lease));
}

/* A lease that is ready when its copies are queued has addresses, and an event unless the bytes have arrived by then. */
static void check_queued(weightstore_revision *revision) {
    weightstore_part part = {.struct_size = sizeof part, .kind = WEIGHTSTORE_PART_LAYERS};
    weightstore_lease_options options = {.struct_size = sizeof options, .when_queued = 1};
    weightstore_pending_lease *pending;
    weightstore_lease *lease, *one;
    void *event, *again;
    DLManagedTensor *managed;
    OK(weightstore_lease_begin(revision, &part, "gpu", &options, &pending));
    OK(weightstore_lease_wait(pending, -1, &lease));
    OK(weightstore_pending_release(pending));
    OK(weightstore_lease_event(lease, &event));
    OK(weightstore_lease_event(lease, &again));
    EXPECT(event == again);
    EXPECT(leased(lease, 0).data != NULL && leased(lease, 0).device_type == 2);
    OK(weightstore_lease_share(lease, 0, &one));
    OK(weightstore_dlpack(lease, 0, 0, &managed));
    EXPECT(managed->dl_tensor.data == leased(one, 0).data);
    managed->deleter(managed);
    OK(weightstore_lease_release(one));
    OK(weightstore_lease_release(lease));
    /* A later lease waits until the bytes are there. */
    OK(weightstore_lease_layer(revision, NULL, 0, "gpu", &lease));
    OK(weightstore_lease_event(lease, &event));
    EXPECT(event == NULL);
    OK(weightstore_lease_release(lease));
}

static void check_gpu(weightstore_store *store, weightstore_revision *revision) {
    weightstore_lease *lease;
    weightstore_tier_statistics statistics = {.struct_size = sizeof statistics};
    weightstore_tier_options options = {.struct_size = sizeof options, .budget = 64 << 20};
    DLManagedTensor *managed;
    DLManagedTensorVersioned *versioned;
    OK(weightstore_open_tier(store, "gpu", &options));
    check_queued(revision);
    OK(weightstore_lease_layer(revision, NULL, 1, "gpu", &lease));
    weightstore_tensor tensor = leased(lease, 0);
    EXPECT(tensor.data != NULL && tensor.device_type == 2 && tensor.device_id == 0);
    OK(weightstore_dlpack(lease, 0, 0, &managed));
    OK(weightstore_dlpack_versioned(lease, 0, WEIGHTSTORE_DLPACK_BYTES, &versioned));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_dlpack(lease, 0, WEIGHTSTORE_DLPACK_PRIVATE, &managed));
    EXPECT(managed->dl_tensor.device.device_type == 2 && managed->dl_tensor.data == tensor.data);
    EXPECT(versioned->dl_tensor.device.device_type == 2 && versioned->dl_tensor.shape[0] == (int64_t)tensor.bytes);
    OK(weightstore_lease_release(lease));
    OK(weightstore_statistics(store, "cuda:0", &statistics));
    EXPECT(statistics.leased > 0);
    managed->deleter(managed);
    versioned->deleter(versioned);
    OK(weightstore_statistics(store, "gpu", &statistics));
    // The thread that loaded the bytes may release them a moment later.
    for (int tries = 0; statistics.leased > 0 && tries < 60000; tries++) {
        poll(NULL, 0, 1);
        OK(weightstore_statistics(store, "gpu", &statistics));
    }
    EXPECT(statistics.leased == 0 && statistics.budget == options.budget);
    uint64_t bytes = 0;
    OK(weightstore_tier_clear(store, "cuda:0", &bytes));
    EXPECT(bytes == statistics.bytes && bytes > 0);
    OK(weightstore_tier_close(store, "gpu", &bytes));
    EXPECT(bytes == 0);
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_lease_layer(revision, NULL, 1, "gpu", &lease));
}

int main(int argc, char **argv) {
    EXPECT(argc == 3 || (argc == 4 && strcmp(argv[3], "gpu") == 0));
    EXPECT(weightstore_abi() == WEIGHTSTORE_ABI);
    EXPECT(weightstore_last_message()[0] == 0);
    check_arguments(argv[1], argv[2]);
    weightstore_store *store;
    weightstore_revision *revision;
    OK(weightstore_open(argv[1], &store));
    OK(weightstore_resolve(store, argv[2], &revision));
    check_sizes(revision);
    print_tensors(store, revision);
    check_files(revision);
    check_leases(store, revision);
    check_dlpack(store, revision);
    check_equal_tensors(revision);
    check_batches(store, revision);
    check_threads(revision);
    check_work(argv[1], argv[2]);
    check_memory(argv[1], argv[2]);
    if (argc == 4) check_gpu(store, revision);
    check_without_descriptors(argv[1], argv[2]);
    check_fork(store, revision);
    OK(weightstore_revision_release(revision));
    OK(weightstore_close(store));
    EXPECT(open_handles() == 0);
    puts("done");
    return 0;
}
