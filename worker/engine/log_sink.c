/* SPDX-License-Identifier: Apache-2.0 */
/* log_sink.c: see log_sink.h. */
#include "log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_SIZE 65536
#define NOTICE_SIZE 128

enum hd_code hd_log_sink_open(struct hd_log_sink *sink, const char *path, uint64_t size_max,
                              struct hd_err *err)
{
    struct stat status;
    hd_assert(size_max >= 4096);
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
    if (fd < 0)
        return hd_fail(err, HD_E_IO, "%s: %s", path, strerror(errno));
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_nlink != 1 ||
        ftruncate(fd, 0) != 0) {
        close(fd);
        return hd_fail(err, HD_E_IO, "%s: not a file of its own that can be written", path);
    }
    *sink = (struct hd_log_sink){.fd = fd, .head_max = size_max / 4, .size_max = size_max};
    return HD_OK;
}

void hd_log_sink_close(struct hd_log_sink *sink)
{
    if (sink->fd >= 0)
        close(sink->fd);
    sink->fd = -1;
}

static bool write_at(int fd, const char *bytes, size_t size, uint64_t offset)
{
    while (size > 0) {
        ssize_t count = pwrite(fd, bytes, size, (off_t)offset);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        bytes += count;
        offset += (uint64_t)count;
        size -= (size_t)count;
    }
    return true;
}

/* Copies [from, end) down to `to` < from; the pieces go in order, so they never overlap badly. */
static bool move_down(int fd, uint64_t from, uint64_t end, uint64_t to)
{
    char piece[COPY_SIZE];
    while (from < end) {
        size_t want = end - from < sizeof(piece) ? (size_t)(end - from) : sizeof(piece);
        ssize_t count = pread(fd, piece, want, (off_t)from);
        if (count <= 0 || !write_at(fd, piece, (size_t)count, to))
            return false;
        from += (uint64_t)count;
        to += (uint64_t)count;
    }
    return true;
}

/* Where the next line begins at or after offset, looking at one piece; offset when there is none.
 */
static uint64_t next_line(int fd, uint64_t offset)
{
    char piece[COPY_SIZE / 16];
    ssize_t count = pread(fd, piece, sizeof(piece), (off_t)offset);
    const char *end = count > 0 ? memchr(piece, '\n', (size_t)count) : NULL;
    return end != NULL ? offset + (uint64_t)(end - piece) + 1 : offset;
}

/* Keeps the head and the last half; between them goes a line with the count of what is gone. The
 * width of the line is fixed, so that it can be replaced when more goes. */
static bool make_room(struct hd_log_sink *sink)
{
    char notice[NOTICE_SIZE];
    uint64_t keep_from = next_line(sink->fd, sink->size - sink->size_max / 2);
    uint64_t old_start = sink->head_max + sink->notice_size;
    if (keep_from <= old_start)
        return false;
    sink->cut += keep_from - old_start;
    (void)hd_format(notice, sizeof(notice), "\n[... %020llu bytes are left out here ...]\n",
                    (unsigned long long)sink->cut);
    sink->notice_size = strlen(notice);
    uint64_t start = sink->head_max + sink->notice_size;
    if (keep_from < start || !move_down(sink->fd, keep_from, sink->size, start) ||
        !write_at(sink->fd, notice, (size_t)sink->notice_size, sink->head_max))
        return false;
    sink->size = start + (sink->size - keep_from);
    return ftruncate(sink->fd, (off_t)sink->size) == 0;
}

void hd_log_sink_write(struct hd_log_sink *sink, const char *bytes, size_t size)
{
    while (size > 0 && sink->fd >= 0) {
        uint64_t room = sink->size_max - sink->size;
        if (room == 0) {
            if (!make_room(sink))
                hd_log_sink_close(sink);
            continue;
        }
        size_t count = size < room ? size : (size_t)room;
        if (!write_at(sink->fd, bytes, count, sink->size)) {
            hd_log_sink_close(sink);
            return;
        }
        sink->size += count;
        bytes += count;
        size -= count;
    }
}
