/*
 * An engine in C, in one file: engine STORE MODEL
 *
 * Streams the layers through RAM with the next one in progress, and prints for each tensor its name, type, shape and
 * checksum (FNV-1a).
 *
 *     cc engine.c $(pkg-config --cflags --libs weightstore)
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <weightstore.h>

static void check(weightstore_status status) {
    if (status == WEIGHTSTORE_OK) return;
    fprintf(stderr, "%s\n", weightstore_last_message());
    exit(1);
}

/* The bytes of the tensors are valid until the lease is released. */
static void print_and_release(weightstore_lease *lease) {
    weightstore_lease_info info = {.struct_size = sizeof info};
    check(weightstore_lease_describe(lease, &info));
    for (size_t i = 0; i < info.tensors; i++) {
        weightstore_tensor tensor = {.struct_size = sizeof tensor};
        check(weightstore_lease_tensor_at(lease, i, &tensor));
        const unsigned char *bytes = tensor.data;
        uint64_t sum = 0xcbf29ce484222325u;
        for (uint64_t byte = 0; byte < tensor.bytes; byte++) sum = (sum ^ bytes[byte]) * 0x100000001b3u;
        printf("tensor %s %s ", tensor.name, tensor.dtype);
        for (int64_t d = 0; d < tensor.rank; d++) printf(d > 0 ? ",%" PRId64 : "%" PRId64, tensor.shape[d]);
        printf(" %016" PRIx64 "\n", sum);
    }
    check(weightstore_lease_release(lease));
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: engine STORE MODEL\n");
        return 64;
    }
    weightstore_store *store;
    weightstore_revision *revision;
    weightstore_lease *lease;
    weightstore_revision_info info = {.struct_size = sizeof info};
    check(weightstore_open(argv[1], &store));
    check(weightstore_resolve(store, argv[2], &revision));
    check(weightstore_revision_describe(revision, &info));
    for (size_t i = 0; i < info.layers; i++) {
        weightstore_layer layer = {.struct_size = sizeof layer}, next = layer;
        check(weightstore_layer_at(revision, i, &layer));
        if (i + 1 < info.layers) {
            check(weightstore_layer_at(revision, i + 1, &next));
            check(weightstore_prefetch_layers(revision, next.number, next.number, "ram"));
        }
        check(weightstore_lease_layer(revision, layer.stack, layer.number, "ram", &lease));
        print_and_release(lease);
    }
    weightstore_status status = weightstore_lease_rest(revision, "ram", &lease);
    if (status != WEIGHTSTORE_NOT_FOUND) {  // A model may have layers alone.
        check(status);
        print_and_release(lease);
    }
    check(weightstore_revision_release(revision));
    check(weightstore_close(store));
    return 0;
}
