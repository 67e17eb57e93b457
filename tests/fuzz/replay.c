/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay.c: the main of a fuzz target in an ordinary build. Runs every file of the corpus
 * directories named on the command line through the target once; an empty directory is a
 * failure, since then nothing was tested. With -Dfuzz=true libFuzzer's main takes its place.
 */
#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PATH_SIZE 4096
#define FILE_SIZE_MAX ((long)64 << 20)

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return -1;
    }
    long size = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    if (size < 0 || size > FILE_SIZE_MAX || fseek(file, 0, SEEK_SET) != 0) {
        fprintf(stderr, "%s: cannot be read or is too large\n", path);
        fclose(file);
        return -1;
    }
    /* Exactly as large as the file, so that a sanitizer sees one byte too many. */
    uint8_t *data = malloc(size > 0 ? (size_t)size : 1);
    size_t got = data != NULL ? fread(data, 1, (size_t)size, file) : 0;
    fclose(file);
    if (data == NULL || got != (size_t)size) {
        fprintf(stderr, "%s: cannot be read whole\n", path);
        free(data);
        return -1;
    }
    int result = LLVMFuzzerTestOneInput(data, (size_t)size);
    free(data);
    return result == 0 ? 0 : -1;
}

static int replay_directory(const char *directory)
{
    DIR *entries = opendir(directory);
    if (entries == NULL) {
        perror(directory);
        return -1;
    }
    int count = 0, failures = 0;
    for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        char path[PATH_SIZE];
        struct stat status;
        int size = snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        if (size < 0 || (size_t)size >= sizeof(path) || stat(path, &status) != 0) {
            fprintf(stderr, "%s/%s: cannot be looked at\n", directory, entry->d_name);
            failures++;
            continue;
        }
        if (!S_ISREG(status.st_mode))
            continue;
        count++;
        if (replay_file(path) != 0)
            failures++;
    }
    closedir(entries);
    printf("%s: %d inputs replayed\n", directory, count);
    if (count == 0)
        fprintf(stderr, "%s: the corpus is empty\n", directory);
    return count > 0 && failures == 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s CORPUS_DIRECTORY...\n", argv[0]);
        return 2;
    }
    int result = 0;
    for (int i = 1; i < argc; i++)
        if (replay_directory(argv[i]) != 0)
            result = 1;
    return result;
}
