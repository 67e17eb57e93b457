/* SPDX-License-Identifier: Apache-2.0 */
/*
 * launch.c: hd-launch, which waits inside a container that was started before its job is known.
 *
 *   hd-launch WORD...
 *
 * It reads one byte from the FIFO beside it and becomes the program of these words. The end of the
 * FIFO without a byte, since the worker is gone, is its own end. It is linked statically: the image
 * may hold nothing but its program.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define GO "/.hyperdock/go"
#define EXIT_NOT_TOLD 125
#define EXIT_CANNOT_RUN 126
#define EXIT_NOT_THERE 127

int main(int argc, char **argv)
{
    char byte;
    ssize_t got = -1;
    int fd = open(GO, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && (got = read(fd, &byte, 1)) < 0 && errno == EINTR)
        continue;
    if (argc < 2 || got != 1) {
        (void)fprintf(stderr, "[FATAL hd-launch] no job came\n");
        return EXIT_NOT_TOLD;
    }
    (void)close(fd);
    (void)execvp(argv[1], argv + 1);
    int failed = errno;
    (void)fprintf(stderr, "[FATAL hd-launch] exec %s failed: %s\n", argv[1], strerror(failed));
    return failed == ENOENT ? EXIT_NOT_THERE : EXIT_CANNOT_RUN;
}
