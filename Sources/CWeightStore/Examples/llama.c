/*
 * A GGUF model of a store in llama.cpp, without a file: llama STORE MODEL TOKEN …
 *
 * llama.cpp gets the metadata and the types of tensors from the store, and asks for the bytes of each tensor, which are
 * copied from a lease into its own memory (or a GPU's). Prints the logits after the tokens, a line for each.
 *
 *     cc llama.c $(pkg-config --cflags --libs weightstore) -lllama -lggml-base
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <ggml-backend.h>
#include <gguf.h>
#include <llama.h>
#include <weightstore.h>

static void check(weightstore_status status) {
    if (status == WEIGHTSTORE_OK) return;
    fprintf(stderr, "%s\n", weightstore_last_message());
    exit(1);
}

static enum gguf_type type_of(const char *name) {
    static const struct { const char *name; enum gguf_type type; } types[] = {
        {"uint8", GGUF_TYPE_UINT8}, {"int8", GGUF_TYPE_INT8}, {"uint16", GGUF_TYPE_UINT16}, {"int16", GGUF_TYPE_INT16},
        {"uint32", GGUF_TYPE_UINT32}, {"int32", GGUF_TYPE_INT32}, {"float32", GGUF_TYPE_FLOAT32}, {"bool", GGUF_TYPE_BOOL},
        {"uint64", GGUF_TYPE_UINT64}, {"int64", GGUF_TYPE_INT64}, {"float64", GGUF_TYPE_FLOAT64},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(types[i].name, name) == 0) return types[i].type;
    }
    return GGUF_TYPE_COUNT;
}

static void set_value(struct gguf_context *gguf, const char *key, const char *type, const void *value) {
    switch (type_of(type)) {
    case GGUF_TYPE_UINT8: gguf_set_val_u8(gguf, key, *(const uint8_t *)value); break;
    case GGUF_TYPE_INT8: gguf_set_val_i8(gguf, key, *(const int8_t *)value); break;
    case GGUF_TYPE_UINT16: gguf_set_val_u16(gguf, key, *(const uint16_t *)value); break;
    case GGUF_TYPE_INT16: gguf_set_val_i16(gguf, key, *(const int16_t *)value); break;
    case GGUF_TYPE_UINT32: gguf_set_val_u32(gguf, key, *(const uint32_t *)value); break;
    case GGUF_TYPE_INT32: gguf_set_val_i32(gguf, key, *(const int32_t *)value); break;
    case GGUF_TYPE_UINT64: gguf_set_val_u64(gguf, key, *(const uint64_t *)value); break;
    case GGUF_TYPE_INT64: gguf_set_val_i64(gguf, key, *(const int64_t *)value); break;
    case GGUF_TYPE_FLOAT32: gguf_set_val_f32(gguf, key, *(const float *)value); break;
    case GGUF_TYPE_FLOAT64: gguf_set_val_f64(gguf, key, *(const double *)value); break;
    case GGUF_TYPE_BOOL: gguf_set_val_bool(gguf, key, *(const uint8_t *)value != 0); break;
    default: gguf_set_val_str(gguf, key, ((const weightstore_text *)value)->data); break;
    }
}

static void set_metadata(struct gguf_context *gguf, const weightstore_metadata *entry) {
    if (entry->count < 0) {
        set_value(gguf, entry->key, entry->type, entry->values);
    } else if (strcmp(entry->type, "string") == 0) {
        const weightstore_text *texts = entry->values;
        const char **strings = malloc((size_t)(entry->count + 1) * sizeof *strings);
        for (int64_t i = 0; i < entry->count; i++) strings[i] = texts[i].data;
        gguf_set_arr_str(gguf, entry->key, strings, (size_t)entry->count);
        free(strings);
    } else if (strcmp(entry->type, "array") != 0) {  // llama.cpp knows no arrays of arrays.
        gguf_set_arr_data(gguf, entry->key, type_of(entry->type), entry->values, (size_t)entry->count);
    }
}

/* Describes a tensor, so that llama.cpp creates it with the type that it has in the store. */
static void add_tensor(struct gguf_context *gguf, struct ggml_context *ggml, const weightstore_tensor *tensor) {
    int64_t innermost_first[4] = {1, 1, 1, 1};
    if (tensor->rank > 4) return;
    for (int64_t i = 0; i < tensor->rank; i++) innermost_first[i] = tensor->shape[tensor->rank - 1 - i];
    for (int type = 0; type < GGML_TYPE_COUNT; type++) {
        const char *name = ggml_type_name((enum ggml_type)type);
        if (name == NULL || strcasecmp(name, tensor->dtype) != 0) continue;
        struct ggml_tensor *made = ggml_new_tensor(
            ggml, (enum ggml_type)type, tensor->rank > 0 ? (int)tensor->rank : 1, innermost_first);
        ggml_set_name(made, tensor->name);
        gguf_add_tensor(gguf, made);
        return;
    }
    fprintf(stderr, "%s: llama.cpp has no type %s\n", tensor->name, tensor->dtype);
    exit(1);
}

/* llama.cpp also creates the optional tensors that a file may lack: factors (scales, and those of the frequencies of RoPE)
 * are then 1, and all others, such as biases, 0. */
static void fill(struct ggml_tensor *tensor, const char *name) {
    size_t size = ggml_nbytes(tensor), length = strlen(name);
    float *values = calloc(1, size + 1);
    if ((length > 5 && strcmp(name + length - 5, "scale") == 0) || strncmp(name, "rope_f", 6) == 0) {
        for (size_t i = 0; i < size / sizeof *values; i++) values[i] = 1;
    }
    ggml_backend_tensor_set(tensor, values, 0, size);
    free(values);
}

static void set_tensor(struct ggml_tensor *tensor, void *context) {
    weightstore_revision *revision = context;
    weightstore_lease *lease;
    const char *name = ggml_get_name(tensor);
    weightstore_status status = weightstore_lease_tensor(revision, NULL, name, "ram", &lease);
    if (status == WEIGHTSTORE_NOT_FOUND) {
        fill(tensor, name);
        return;
    }
    check(status);
    weightstore_tensor leased = {.struct_size = sizeof leased};
    check(weightstore_lease_tensor_at(lease, 0, &leased));
    if (leased.bytes != ggml_nbytes(tensor)) {
        fprintf(stderr, "%s: %llu bytes, llama.cpp expects %zu\n", name, (unsigned long long)leased.bytes, ggml_nbytes(tensor));
        exit(1);
    }
    ggml_backend_tensor_set(tensor, leased.data, 0, leased.bytes);
    check(weightstore_lease_release(lease));
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: llama STORE MODEL TOKEN …\n");
        return 64;
    }
    weightstore_store *store;
    weightstore_revision *revision;
    weightstore_revision_info info = {.struct_size = sizeof info};
    check(weightstore_open(argv[1], &store));
    check(weightstore_resolve(store, argv[2], &revision));
    check(weightstore_revision_describe(revision, &info));

    struct gguf_context *gguf = gguf_init_empty();
    struct ggml_context *ggml = ggml_init((struct ggml_init_params){
        .mem_size = (info.tensors + 1) * ggml_tensor_overhead(), .no_alloc = true});
    for (size_t i = 0; i < info.files; i++) {
        weightstore_file file = {.struct_size = sizeof file};
        size_t count;
        check(weightstore_file_at(revision, i, &file));
        if (strcmp(file.format, "gguf") != 0) continue;
        check(weightstore_metadata_count(revision, file.path, &count));
        for (size_t entry = 0; entry < count; entry++) {
            weightstore_metadata metadata = {.struct_size = sizeof metadata};
            check(weightstore_metadata_at(revision, file.path, entry, &metadata));
            set_metadata(gguf, &metadata);
        }
    }
    for (size_t i = 0; i < info.tensors; i++) {
        weightstore_tensor tensor = {.struct_size = sizeof tensor};
        check(weightstore_tensor_at(revision, i, &tensor));
        add_tensor(gguf, ggml, &tensor);
    }

    llama_backend_init();
    struct llama_model *model = llama_model_init_from_user(gguf, set_tensor, revision, llama_model_default_params());
    if (model == NULL) return 1;
    struct llama_context *context = llama_init_from_model(model, llama_context_default_params());
    llama_token tokens[64];
    int32_t count = 0;
    for (int i = 3; i < argc && count < 64; i++) tokens[count++] = atoi(argv[i]);
    if (context == NULL || llama_decode(context, llama_batch_get_one(tokens, count)) != 0) return 1;
    const float *logits = llama_get_logits_ith(context, -1);
    int32_t size = llama_vocab_n_tokens(llama_model_get_vocab(model));
    for (int32_t i = 0; i < size; i++) printf("%.9g\n", (double)logits[i]);

    llama_free(context);
    llama_model_free(model);
    gguf_free(gguf);
    ggml_free(ggml);
    check(weightstore_revision_release(revision));
    check(weightstore_close(store));
    return 0;
}
