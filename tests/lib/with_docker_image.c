/* SPDX-License-Identifier: Apache-2.0 */
/* with_docker_image [--warm] TARGET PROGRAM [ARGUMENT...]: runs the program with HD_TEST_IMAGE
 * naming a fresh image whose entry point is the static program TARGET (with the label of warm
 * targets), and removes the image afterwards. Without an engine it says so as a skipped test. */
#include "real_docker.h"

#include <hd/os.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define REPOSITORY "hyperdock-test"

static int run(char **argv)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        execv(argv[0], argv);
        perror(argv[0]);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return HD_EXIT_FAILED;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
    struct hd_err err = {0};
    char tag[32], image[64];
    bool warm = argc > 1 && hd_streq(argv[1], "--warm");
    argc -= warm ? 1 : 0;
    argv += warm ? 1 : 0;
    if (argc < 3)
        return HD_EXIT_USAGE;
    if (!real_docker_answers()) {
        puts("1..0 # SKIP no Docker engine answers");
        return 0;
    }
    (void)hd_format(tag, sizeof(tag), "%016llx", (unsigned long long)hd_os_random_u64());
    (void)hd_format(image, sizeof(image), "%s:%s", REPOSITORY, tag);
    const char *changes = warm ? "&changes=ENTRYPOINT%20%5B%22%2Ftarget%22%5D"
                                 "&changes=LABEL%20hyperdock.warm%3D1"
                               : "&changes=ENTRYPOINT%20%5B%22%2Ftarget%22%5D";
    if (real_docker_import_with(argv[1], REPOSITORY, tag, changes, &err) != HD_OK) {
        fprintf(stderr, "the image could not be made: %s\n", err.text);
        return HD_EXIT_FAILED;
    }
    (void)setenv("HD_TEST_IMAGE", image, 1);
    int answer = run(argv + 2);
    real_docker_remove_image(REPOSITORY, tag);
    return answer;
}
