/*
 * Managing a store, asynchronous leases, and the bytes of tensors on disk, as a C program uses them:
 * managing DIRECTORY MODEL
 *
 * DIRECTORY is made, and MODEL is the directory of a model. Prints "done".
 */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

static size_t open_handles(void) {
    size_t count;
    OK(weightstore_open_handles(&count));
    return count;
}

static int32_t count_progress(const weightstore_progress *progress, void *context) {
    EXPECT(progress->struct_size == sizeof *progress && progress->label != NULL);
    EXPECT(progress->done <= progress->total || progress->total == 0);
    *(uint64_t *)context = progress->done + progress->skipped;
    return 0;
}

static int32_t cancel_at_once(const weightstore_progress *progress, void *context) {
    (void)progress;
    ++*(int *)context;
    return 1;
}

static weightstore_revision_entry entry_at(weightstore_list *list, size_t index) {
    weightstore_revision_entry entry = {.struct_size = sizeof entry};
    OK(weightstore_list_revision(list, index, &entry));
    return entry;
}

static void check_import(weightstore_store *store, const char *model) {
    const char *refs[] = {"main", "prod"};
    uint64_t done = 0;
    size_t count;
    weightstore_list *list = NULL;
    weightstore_import_options options = {
        .struct_size = sizeof options, .name = "test/model", .refs = refs, .ref_count = 2, .progress = count_progress,
        .context = &done};
    weightstore_import_summary summary = {.struct_size = sizeof summary};
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_import(NULL, model, NULL, NULL, NULL));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_import(store, NULL, NULL, NULL, NULL));
    FAILS(WEIGHTSTORE_NOT_FOUND, weightstore_import(store, "/nowhere/at/all", NULL, NULL, NULL));
    weightstore_import_options many = {.struct_size = sizeof many, .ref_count = SIZE_MAX};
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_import(store, model, &many, NULL, NULL));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_remove(store, NULL, SIZE_MAX, NULL, NULL));
    weightstore_warm_options warms = {.struct_size = sizeof warms, .top = SIZE_MAX};
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_warm(store, "ram", &warms, NULL));
    options.struct_size = 8;
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_import(store, model, &options, NULL, NULL));
    options.struct_size = sizeof options;
    options.refs = NULL;
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_import(store, model, &options, NULL, NULL));
    options.refs = refs;
    weightstore_work *over;
    OK(weightstore_work_new(NULL, 0, &over));
    OK(weightstore_work_use(over));
    FAILS(WEIGHTSTORE_TIMED_OUT, weightstore_import(store, model, &options, NULL, NULL));
    OK(weightstore_work_use(NULL));
    OK(weightstore_work_release(over));

    OK(weightstore_import(store, model, &options, &summary, &list));
    EXPECT(summary.bytes > 0 && summary.written > 0 && summary.skipped == 0 && summary.failures == 0);
    EXPECT(done > 0);
    OK(weightstore_list_count(list, &count));
    EXPECT(count == 1);
    weightstore_revision_entry entry = entry_at(list, 0);
    EXPECT(strcmp(entry.model, "test/model") == 0 && strcmp(entry.name, "test/model@~1") == 0 && entry.version == 1);
    EXPECT(entry.bytes == summary.bytes && entry.ref_count == 2 && strcmp(entry.refs[1], "prod") == 0);
    EXPECT(strlen(entry.digest) == 64 && strlen(entry.commit) == 40 && entry.pin == NULL && entry.missing == NULL);
    weightstore_model none = {.struct_size = sizeof none};
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_list_model(list, 0, &none));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_list_revision(list, 1, &entry));
    OK(weightstore_list_release(list));
    FAILS(WEIGHTSTORE_INVALID_HANDLE, weightstore_list_release(list));

    /* Files that are stored are not read again. */
    OK(weightstore_import(store, model, &options, &summary, NULL));
    EXPECT(summary.written == 0 && summary.skipped == summary.bytes);
}

static void check_lists(weightstore_store *store) {
    weightstore_list *list;
    size_t count;
    OK(weightstore_models(store, "test/*", &list));
    OK(weightstore_list_count(list, &count));
    EXPECT(count == 1);
    weightstore_model model = {.struct_size = sizeof model};
    OK(weightstore_list_model(list, 0, &model));
    EXPECT(strcmp(model.name, "test/model") == 0 && model.version == 1 && model.revisions == 1 && model.tensors > 0);
    EXPECT(model.ref_count == 2 && strcmp(model.refs[0], "main") == 0 && !model.pinned && model.modified > 0);
    OK(weightstore_list_release(list));
    OK(weightstore_models(store, "other/*", &list));
    OK(weightstore_list_count(list, &count));
    EXPECT(count == 0);
    OK(weightstore_list_release(list));

    OK(weightstore_tag(store, "test/model@~1", "next"));
    FAILS(WEIGHTSTORE_NOT_FOUND, weightstore_tag(store, "test/model@~9", "next"));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_tag(store, "test/model", "a b"));
    OK(weightstore_revisions(store, "test/model", &list));
    EXPECT(entry_at(list, 0).ref_count == 3);
    OK(weightstore_list_release(list));
    OK(weightstore_untag(store, "test/model", "next"));
    FAILS(WEIGHTSTORE_NOT_FOUND, weightstore_untag(store, "test/model", "next"));
    FAILS(WEIGHTSTORE_NOT_FOUND, weightstore_revisions(store, "no/such", &list));

    weightstore_store_totals totals = {.struct_size = sizeof totals};
    OK(weightstore_store_statistics(store, &totals));
    EXPECT(totals.models == 1 && totals.revisions == 1 && totals.stored > 0 && totals.damaged == 0);

    weightstore_pull_options pull = {.struct_size = sizeof pull};
    FAILS(WEIGHTSTORE_NOT_FOUND, weightstore_pull(store, "no/origin", &pull, NULL, NULL));
    int64_t layers[] = {2, 1};
    pull.layers = layers;
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_pull(store, "no/origin", &pull, NULL, NULL));

    const char *names[] = {"test/model"};
    uint64_t done = 0;
    weightstore_warm_options warm = {
        .struct_size = sizeof warm, .revisions = names, .revision_count = 1, .progress = count_progress, .context = &done};
    weightstore_warm_summary summary = {.struct_size = sizeof summary};
    OK(weightstore_warm(store, "host", &warm, &summary));
    EXPECT(summary.warmed > 0 && summary.items == 1 && summary.failed == 0 && done > 0);
}

/* The bytes of each tensor are in the blob and in the file, at the reported places. */
static void check_places(weightstore_revision *revision) {
    weightstore_revision_info info = {.struct_size = sizeof info};
    OK(weightstore_revision_describe(revision, &info));
    for (size_t i = 0; i < info.tensors; i++) {
        weightstore_tensor tensor = {.struct_size = sizeof tensor}, held = tensor;
        weightstore_location place = {.struct_size = sizeof place}, again = place, of_lease = place;
        weightstore_lease *lease;
        int32_t file, other;
        size_t count;
        OK(weightstore_tensor_at(revision, i, &tensor));
        OK(weightstore_tensor_location(revision, i, &place));
        OK(weightstore_tensor_open(revision, i, &again, &file));
        EXPECT(place.bytes == tensor.bytes && place.offset == tensor.shard_offset && place.path == again.path);
        EXPECT(fcntl(file, F_GETFD) == FD_CLOEXEC && (fcntl(file, F_GETFL) & O_ACCMODE) == O_RDONLY);
        OK(weightstore_lease_tensor(revision, tensor.file, tensor.name, "ram", &lease));
        OK(weightstore_lease_tensor_at(lease, 0, &held));
        OK(weightstore_lease_tensor_location(lease, 0, &of_lease));
        EXPECT(of_lease.file_offset == place.file_offset && strcmp(of_lease.path, place.path) == 0);
        OK(weightstore_lease_tensor_open(lease, 0, NULL, &other));
        EXPECT(file != other);
        char *bytes = malloc(tensor.bytes);
        EXPECT(pread(file, bytes, tensor.bytes, (off_t)place.offset) == (ssize_t)tensor.bytes);
        EXPECT(memcmp(bytes, held.data, tensor.bytes) == 0);
        /* The other descriptor has a position and flags of its own. */
        EXPECT(lseek(other, (off_t)place.offset, SEEK_SET) >= 0 && lseek(file, 0, SEEK_CUR) == 0);
        EXPECT(read(other, bytes, tensor.bytes) == (ssize_t)tensor.bytes);
        EXPECT(memcmp(bytes, held.data, tensor.bytes) == 0);
        OK(weightstore_read_file(revision, tensor.file, place.file_offset, bytes, tensor.bytes, &count));
        EXPECT(count == tensor.bytes && memcmp(bytes, held.data, tensor.bytes) == 0);
        free(bytes);
        OK(weightstore_lease_release(lease));
        EXPECT(close(file) == 0 && close(other) == 0);
    }
    int32_t file;
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_tensor_open(revision, info.tensors, NULL, &file));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_tensor_open(revision, 0, NULL, NULL));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_tensor_location(revision, 0, NULL));
}

static size_t tensors_of(weightstore_lease *lease) {
    weightstore_lease_info info = {.struct_size = sizeof info};
    OK(weightstore_lease_describe(lease, &info));
    return info.tensors;
}

static void check_parts(weightstore_revision *revision) {
    weightstore_revision_info info = {.struct_size = sizeof info};
    weightstore_layer layer = {.struct_size = sizeof layer};
    weightstore_lease *lease = NULL, *rest;
    weightstore_part part = {.struct_size = sizeof part};
    OK(weightstore_revision_describe(revision, &info));
    OK(weightstore_lease_part(revision, &part, "ram", &lease));
    EXPECT(tensors_of(lease) == info.tensors);
    OK(weightstore_lease_release(lease));
    part.kind = WEIGHTSTORE_PART_LAYERS;
    part.last_layer = 1;
    OK(weightstore_lease_part(revision, &part, "ram", &lease));
    part.kind = WEIGHTSTORE_PART_REST;
    OK(weightstore_lease_part(revision, &part, "ram", &rest));
    EXPECT(tensors_of(lease) + tensors_of(rest) == info.tensors);
    OK(weightstore_lease_release(lease));
    OK(weightstore_lease_release(rest));
    OK(weightstore_layer_at(revision, 0, &layer));
    part.kind = WEIGHTSTORE_PART_LAYERS;
    part.stack = layer.stack;
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_lease_part(revision, &part, "ram", &lease));
    part.last_layer = INT64_MAX;
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_lease_part(revision, &part, "ram", &lease));
    part.last_layer = 0;
    OK(weightstore_lease_part(revision, &part, "ram", &lease));
    EXPECT(tensors_of(lease) == layer.tensors);
    OK(weightstore_lease_release(lease));
    part.kind = WEIGHTSTORE_PART_WITHOUT_EXPERTS;
    OK(weightstore_lease_part(revision, &part, "ram", &lease));
    EXPECT(tensors_of(lease) == layer.tensors);
    OK(weightstore_lease_release(lease));
    part.kind = WEIGHTSTORE_PART_EXPERTS;
    FAILS(WEIGHTSTORE_NOT_FOUND, weightstore_lease_part(revision, &part, "ram", &lease));
    part.last_expert = -1;
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_lease_part(revision, &part, "ram", &lease));
    part.kind = 77;
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_lease_part(revision, &part, "ram", &lease));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_lease_part(revision, NULL, "ram", &lease));
}

struct completion {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int calls;
    weightstore_status status;
};

static void complete(weightstore_status status, void *context) {
    struct completion *completion = context;
    pthread_mutex_lock(&completion->lock);
    completion->calls++;
    completion->status = status;
    pthread_cond_signal(&completion->changed);
    pthread_mutex_unlock(&completion->lock);
}

static void check_pending(weightstore_store *store, weightstore_revision *revision) {
    struct completion completion = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    int event = eventfd(0, EFD_CLOEXEC);
    EXPECT(event > 0);
    weightstore_part part = {.struct_size = sizeof part, .kind = WEIGHTSTORE_PART_LAYERS};
    weightstore_lease_options options = {
        .struct_size = sizeof options, .completion = complete, .context = &completion, .event = event};
    weightstore_pending_lease *pending[2], *none = NULL;
    weightstore_lease *lease = NULL, *second = NULL;
    for (int i = 0; i < 2; i++) {
        part.first_layer = part.last_layer = i;
        OK(weightstore_lease_begin(revision, &part, "ram", &options, &pending[i]));
    }
    for (uint64_t ended = 0, count; ended < 2; ended += count) EXPECT(read(event, &count, 8) == 8);
    pthread_mutex_lock(&completion.lock);
    while (completion.calls < 2) pthread_cond_wait(&completion.changed, &completion.lock);
    EXPECT(completion.status == WEIGHTSTORE_OK);
    pthread_mutex_unlock(&completion.lock);
    for (int i = 0; i < 2; i++) {
        weightstore_tensor tensor = {.struct_size = sizeof tensor};
        void *arrival = &tensor;
        OK(weightstore_lease_wait(pending[i], 0, NULL));
        OK(weightstore_lease_wait(pending[i], -1, NULL));
        OK(weightstore_lease_wait(pending[i], 0, &lease));
        OK(weightstore_lease_wait(pending[i], 0, NULL));
        OK(weightstore_lease_tensor_at(lease, 0, &tensor));
        EXPECT(tensor.layer == i && tensor.data != NULL);
        OK(weightstore_lease_event(lease, &arrival));
        EXPECT(arrival == NULL);
        FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_lease_wait(pending[i], 0, &second));
        OK(weightstore_lease_cancel(pending[i]));
        OK(weightstore_lease_tensor_at(lease, 0, &tensor));
        OK(weightstore_lease_release(lease));
        OK(weightstore_pending_release(pending[i]));
        FAILS(WEIGHTSTORE_INVALID_HANDLE, weightstore_lease_wait(pending[i], 0, &lease));
    }
    weightstore_tier_statistics statistics = {.struct_size = sizeof statistics};
    OK(weightstore_statistics(store, "ram", &statistics));
    EXPECT(statistics.leased == 0);

    part.last_layer = part.first_layer = 99;
    FAILS(WEIGHTSTORE_NOT_FOUND, weightstore_lease_begin(revision, &part, "ram", &options, &none));
    part.last_layer = part.first_layer = 0;
    options.event = INT_MAX;
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_lease_begin(revision, &part, "ram", &options, &none));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_lease_begin(revision, &part, "ram", NULL, NULL));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_lease_wait(NULL, 0, &lease));
    FAILS(WEIGHTSTORE_INVALID_ARGUMENT, weightstore_lease_event(NULL, NULL));
    EXPECT(none == NULL);

    /* A lease that is not waited for is released. */
    OK(weightstore_lease_begin(revision, &part, "ram", NULL, &pending[0]));
    OK(weightstore_pending_release(pending[0]));
    OK(weightstore_pending_release(NULL));
    OK(weightstore_statistics(store, "ram", &statistics));
    for (int tries = 0; statistics.leased > 0 && tries < 60000; tries++) {
        poll(NULL, 0, 1);
        OK(weightstore_statistics(store, "ram", &statistics));
    }
    EXPECT(statistics.leased == 0);
    /* The work of the thread ends the wait, and not the lease. */
    weightstore_work *over;
    OK(weightstore_work_new(NULL, -1, &over));
    OK(weightstore_lease_begin(revision, &part, "ram", NULL, &pending[0]));
    OK(weightstore_work_cancel(over));
    OK(weightstore_work_use(over));
    weightstore_status status = weightstore_lease_wait(pending[0], -1, &lease);
    EXPECT(status == WEIGHTSTORE_OK || status == WEIGHTSTORE_CANCELLED);
    OK(weightstore_work_use(NULL));
    if (status != WEIGHTSTORE_OK) OK(weightstore_lease_wait(pending[0], -1, &lease));
    OK(weightstore_lease_release(lease));
    OK(weightstore_pending_release(pending[0]));
    OK(weightstore_work_release(over));
    EXPECT(close(event) == 0);
}

static void check_removal(weightstore_store *store, weightstore_revision *revision) {
    const char *names[] = {"test/model"};
    weightstore_removal_options options = {.struct_size = sizeof options, .dry_run = 1};
    weightstore_removal_summary summary = {.struct_size = sizeof summary}, planned = summary;
    FAILS(WEIGHTSTORE_BUSY, weightstore_remove(store, names, 1, NULL, NULL));
    EXPECT(strstr(weightstore_last_message(), "process"));
    OK(weightstore_revision_release(revision));
    OK(weightstore_remove(store, names, 1, &options, &planned));
    EXPECT(planned.revisions == 1 && planned.bytes > 0);
    int calls = 0;
    options.progress = cancel_at_once;
    options.context = &calls;
    options.dry_run = 0;
    weightstore_status status = weightstore_remove(store, names, 1, &options, &summary);
    EXPECT(calls > 0 && (status == WEIGHTSTORE_OK || status == WEIGHTSTORE_CANCELLED));
}

/* A work that is over ends the opening of a store. A name is resolved, because that does not have to wait. */
static void check_over(const char *path, weightstore_store *store) {
    weightstore_work *over;
    weightstore_store *none = NULL;
    weightstore_revision *revision;
    OK(weightstore_work_new(NULL, 0, &over));
    OK(weightstore_work_use(over));
    FAILS(WEIGHTSTORE_TIMED_OUT, weightstore_open(path, &none));
    EXPECT(none == NULL);
    OK(weightstore_resolve(store, "test/model", &revision));
    OK(weightstore_revision_release(revision));
    OK(weightstore_work_use(NULL));
    OK(weightstore_work_release(over));
}

int main(int argc, char **argv) {
    EXPECT(argc == 3);
    weightstore_store *store;
    weightstore_revision *revision;
    OK(weightstore_create(argv[1], &store));
    check_import(store, argv[2]);
    check_lists(store);
    OK(weightstore_resolve(store, "test/model@prod", &revision));
    check_places(revision);
    check_parts(revision);
    check_pending(store, revision);
    check_over(argv[1], store);
    check_removal(store, revision);
    OK(weightstore_close(store));
    EXPECT(open_handles() == 0);
    puts("done");
    return 0;
}
