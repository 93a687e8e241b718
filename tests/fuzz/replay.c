/* replay.c - runs a fuzz target once over every file of the folders given, with any compiler.
 *
 * The corpus is a test: what once was a find, or reaches a corner, is tried in each run. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { MAX_FILE_BYTES = 1 << 20 };

static int replay_file(const char *path)
{
    uint8_t *data = NULL;
    FILE *in = fopen(path, "rb");
    size_t n = 0;

    if (in == NULL) {
        perror(path);
        return -1;
    }
    data = malloc(MAX_FILE_BYTES);
    if (data != NULL) {
        /* A copy of its exact size, so that a sanitizer sees a read behind its end. */
        uint8_t *exact = NULL;

        n = fread(data, 1, MAX_FILE_BYTES, in);
        exact = malloc(n == 0 ? 1 : n);
        for (size_t i = 0; exact != NULL && i < n; i++) {
            exact[i] = data[i];
        }
        if (exact != NULL) {
            (void)LLVMFuzzerTestOneInput(exact, n);
        }
        free(exact);
    }
    free(data);
    (void)fclose(in);
    return 0;
}

static long replay_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry = NULL;
    long n = 0;

    if (dir == NULL) {
        perror(folder);
        return -1;
    }
    while ((entry = readdir(dir)) != NULL) {
        char path[4096];

        if (entry->d_name[0] == '.') {
            continue;
        }
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        (void)fprintf(stderr, "%s\n", path);
        if (replay_file(path) != 0) {
            n = -1;
            break;
        }
        n++;
    }
    (void)closedir(dir);
    return n;
}

int main(int argc, char **argv)
{
    /* An empty corpus is a mistake in the path, not a success. */
    if (argc < 2) {
        (void)fprintf(stderr, "usage: %s FOLDER...\n", argv[0]);
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        long n = replay_folder(argv[i]);

        if (n <= 0) {
            (void)fprintf(stderr, "%s: nothing replayed\n", argv[i]);
            return 1;
        }
        (void)printf("%s: %ld files\n", argv[i], n);
    }
    return 0;
}
