/*
 * The checksum of the embeddings of a BERT: embedding STORE MODEL DIRECTORY
 *
 * Computes once two others have loaded the model, too (each creates a file in DIRECTORY), and holds it until then.
 */
#include "check.h"

#include <dirent.h>
#include <inttypes.h>
#include <time.h>

static weightstore_tensor leased(weightstore_lease *lease, const char *name) {
    weightstore_tensor tensor = {.struct_size = sizeof tensor};
    size_t index;
    OK(weightstore_lease_find(lease, NULL, name, &index));
    OK(weightstore_lease_tensor_at(lease, index, &tensor));
    EXPECT(strcmp(tensor.dtype, "F32") == 0 && tensor.rank == 2 && tensor.data != NULL);
    return tensor;
}

static void meet(const char *directory) {
    char path[4096];
    snprintf(path, sizeof path, "%s/c", directory);
    FILE *file = fopen(path, "w");
    EXPECT(file != NULL && fclose(file) == 0);
    for (int i = 0; i < 12000; i++) {
        DIR *listing = opendir(directory);
        EXPECT(listing != NULL);
        int count = 0;
        for (struct dirent *entry; (entry = readdir(listing)) != NULL;) count += entry->d_name[0] != '.';
        closedir(listing);
        if (count >= 3) return;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    EXPECT(!"the others did not come");
}

int main(int argc, char **argv) {
    weightstore_store *store;
    weightstore_revision *revision;
    weightstore_lease *lease;
    EXPECT(argc == 4);
    OK(weightstore_open(argv[1], &store));
    OK(weightstore_resolve(store, argv[2], &revision));
    OK(weightstore_lease_rest(revision, "ram", &lease));
    weightstore_tensor words = leased(lease, "embeddings.word_embeddings.weight");
    weightstore_tensor positions = leased(lease, "embeddings.position_embeddings.weight");
    weightstore_tensor types = leased(lease, "embeddings.token_type_embeddings.weight");
    meet(argv[3]);
    const float *word = words.data, *position = positions.data, *type = types.data;
    const int64_t columns = words.shape[1];
    uint64_t checksum = 0, place = 0;
    for (int64_t token = 0; token < words.shape[0]; token++) {
        for (int64_t column = 0; column < columns; column++) {
            float sum = word[token * columns + column];
            sum += position[token % positions.shape[0] * columns + column];
            sum += type[column];
            uint32_t bits;
            memcpy(&bits, &sum, sizeof bits);
            checksum += bits * (place++ % 65521 + 1);
        }
    }
    printf("%" PRIu64 "\n", checksum);
    OK(weightstore_lease_release(lease));
    OK(weightstore_revision_release(revision));
    OK(weightstore_close(store));
    return 0;
}
