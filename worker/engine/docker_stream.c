/* SPDX-License-Identifier: Apache-2.0 */
/* docker_stream.c: log frames and pull lines, byte by byte as they come. Pure; see docker_json.h.
 */
#include "docker_json.h"

#include <string.h>

/* ---- log frames ----------------------------------------------------------------------------- */

void hd_docker_frames_begin(struct hd_docker_frames *frames)
{
    memcpy(frames->resume_after, frames->last, sizeof(frames->last));
    frames->came = 0;
    if (frames->by_count)
        frames->resume_after[0] = '\0';
    frames->header_used = 0;
    frames->left = 0;
    frames->in_stamp = false;
    frames->skip = false;
    frames->broken = false;
    frames->stamp_used = 0;
    frames->stamped = false;
}

/* Takes bytes of the header; true when it is complete. */
static bool take_header(struct hd_docker_frames *frames, const char **bytes, size_t *size)
{
    size_t wanted = sizeof(frames->header) - frames->header_used;
    size_t count = *size < wanted ? *size : wanted;
    memcpy(frames->header + frames->header_used, *bytes, count);
    frames->header_used += count;
    *bytes += count;
    *size -= count;
    return frames->header_used == sizeof(frames->header);
}

static bool open_frame(struct hd_docker_frames *frames)
{
    const unsigned char *h = frames->header;
    if (h[0] > 2 || h[1] != 0 || h[2] != 0 || h[3] != 0)
        return false;
    frames->left = (uint32_t)h[4] << 24 | (uint32_t)h[5] << 16 | (uint32_t)h[6] << 8 | h[7];
    frames->in_stamp = true;
    frames->skip = false;
    frames->stamp_used = 0;
    if (frames->left == 0)
        frames->header_used = 0;
    return true;
}

static bool is_stamp(const char *text)
{
    int64_t wall_ms;
    return hd_docker_parse_time(text, &wall_ms);
}

static void hand_on(struct hd_docker_frames *frames, const char *bytes, size_t size)
{
    uint64_t known =
        frames->by_count && frames->written > frames->came ? frames->written - frames->came : 0;
    frames->came += size;
    if (known >= size)
        return;
    frames->write(frames->context, bytes + known, size - (size_t)known);
    frames->written += size - known;
}

/* A whole log that begins with another stamp than before has lost its beginning: nothing that was
 * counted holds for it. */
static void compare_beginning(struct hd_docker_frames *frames)
{
    if (frames->stamped)
        return;
    frames->stamped = true;
    if (frames->first[0] == '\0')
        memcpy(frames->first, frames->stamp, sizeof(frames->first));
    if (!frames->by_count || strcmp(frames->stamp, frames->first) == 0)
        return;
    frames->by_count = false;
    memcpy(frames->resume_after, frames->last, sizeof(frames->last));
}

/* The first word of the payload is complete, or cannot be a stamp: decides what becomes of the
 * payload, and hands on what was not a stamp after all. */
static void end_stamp(struct hd_docker_frames *frames, bool at_blank)
{
    frames->in_stamp = false;
    frames->stamp[frames->stamp_used] = '\0';
    if (at_blank && is_stamp(frames->stamp)) {
        compare_beginning(frames);
        /* All stamps of an engine have one width and zone, so that text order is time order. */
        frames->skip =
            frames->resume_after[0] != '\0' && strcmp(frames->stamp, frames->resume_after) <= 0;
        if (strcmp(frames->stamp, frames->last) > 0)
            memcpy(frames->last, frames->stamp, sizeof(frames->last));
        return;
    }
    if (frames->stamp_used > 0)
        hand_on(frames, frames->stamp, frames->stamp_used);
    if (at_blank)
        hand_on(frames, " ", 1);
}

static void take_stamp(struct hd_docker_frames *frames, const char **bytes, size_t *size)
{
    while (frames->in_stamp && frames->left > 0 && *size > 0) {
        char c = **bytes;
        bool fits = frames->stamp_used + 1 < sizeof(frames->stamp);
        if (c != ' ' && !fits) {
            end_stamp(frames, false);
            return;
        }
        (*bytes)++;
        (*size)--;
        frames->left--;
        if (c == ' ')
            end_stamp(frames, true);
        else
            frames->stamp[frames->stamp_used++] = c;
    }
    if (frames->in_stamp && frames->left == 0)
        end_stamp(frames, false);
}

static void take_payload(struct hd_docker_frames *frames, const char **bytes, size_t *size)
{
    size_t count = *size < frames->left ? *size : frames->left;
    if (count > 0 && !frames->skip)
        hand_on(frames, *bytes, count);
    *bytes += count;
    *size -= count;
    frames->left -= (uint32_t)count;
}

bool hd_docker_frames_feed(struct hd_docker_frames *frames, const char *bytes, size_t size)
{
    while (size > 0 && !frames->broken) {
        if (frames->left == 0) {
            if (!take_header(frames, &bytes, &size))
                break;
            if (!open_frame(frames)) {
                frames->broken = true;
                break;
            }
            continue;
        }
        if (frames->in_stamp)
            take_stamp(frames, &bytes, &size);
        if (!frames->in_stamp)
            take_payload(frames, &bytes, &size);
        if (frames->left == 0)
            frames->header_used = 0;
    }
    return !frames->broken;
}

/* ---- pull lines ----------------------------------------------------------------------------- */

static const struct hd_value_limits line_limits = {
    .bytes_max = HD_DOCKER_PULL_LINE_MAX, .nodes_max = 1000, .depth_max = 16};

static const char *line_text(const struct hd_value *value, const char *key)
{
    const struct hd_value *text = hd_value_get(value, key);
    return text != NULL && text->kind == HD_VALUE_STRING ? text->as.string : "";
}

static struct hd_docker_layer *layer_of(struct hd_docker_pull_stream *pull, const char *id)
{
    for (size_t i = 0; i < pull->layer_count; i++)
        if (strncmp(pull->layers[i].id, id, sizeof(pull->layers[i].id) - 1) == 0)
            return &pull->layers[i];
    if (pull->layer_count == HD_DOCKER_LAYERS_MAX)
        return NULL;
    struct hd_docker_layer *layer = &pull->layers[pull->layer_count++];
    (void)hd_copy_text(layer->id, sizeof(layer->id), id);
    return layer;
}

/* Of a layer's way, 7 tenths are its download and the rest its unpacking. */
#define DOWNLOAD_PART 0.7

static void note_layer(struct hd_docker_pull_stream *pull, const struct hd_value *value)
{
    static const struct {
        const char *status;
        double from, part;
    } steps[] = {
        {"Pulling fs layer", 0, 0},    {"Waiting", 0, 0},
        {"Downloading", 0, 0.7},       {"Verifying Checksum", DOWNLOAD_PART, 0},
        {"Download complete", 0.7, 0}, {"Extracting", DOWNLOAD_PART, 0.3},
        {"Pull complete", 1, 0},       {"Already exists", 1, 0},
        {"Loading layer", 0, 1},
    };
    const struct hd_value *detail = hd_value_get(value, "progressDetail");
    double current = hd_value_number(hd_value_get(detail, "current"));
    double total = hd_value_number(hd_value_get(detail, "total"));
    const char *id = line_text(value, "id"), *status = line_text(value, "status");
    for (size_t i = 0; i < HD_COUNT(steps) && id[0] != '\0'; i++) {
        if (!hd_streq(status, steps[i].status))
            continue;
        struct hd_docker_layer *layer = layer_of(pull, id);
        double way = total > 0 && current >= 0 ? (current < total ? current / total : 1) : 0;
        double done = steps[i].from + steps[i].part * way;
        if (layer != NULL && done > layer->done)
            layer->done = done;
    }
}

int hd_docker_pull_percent(const struct hd_docker_pull_stream *pull)
{
    double sum = 0;
    for (size_t i = 0; i < pull->layer_count; i++)
        sum += pull->layers[i].done;
    return pull->layer_count == 0 ? -1 : (int)(100 * sum / (double)pull->layer_count);
}

/* A build's own words, a line or a few at a time. */
static void note_text(struct hd_docker_pull_stream *pull, const char *text)
{
    while (*text != '\0') {
        size_t size = strcspn(text, "\r\n");
        if (size > 0) {
            char line[sizeof(pull->last)];
            (void)hd_format(line, sizeof(line), "%.*s", (int)size, text);
            for (char *c = line; *c != '\0'; c++)
                *c = (unsigned char)*c < ' ' ? ' ' : *c; /* it goes to a terminal */
            memcpy(pull->last, line, sizeof(line));
            if (pull->say != NULL)
                pull->say(pull->say_context, line);
        }
        text += size + (text[size] != '\0');
    }
}

static void end_line(struct hd_docker_pull_stream *pull)
{
    struct hd_value *value = NULL;
    struct hd_err err;
    size_t size = pull->line_used;
    bool cut = pull->line_cut;
    pull->line_used = 0;
    pull->line_cut = false;
    if (cut || size == 0 ||
        hd_json_parse(pull->line, size, "pull", &line_limits, &value, &err) != HD_OK)
        return;
    const struct hd_value *error = hd_value_get(hd_value_get(value, "errorDetail"), "message");
    if (error == NULL)
        error = hd_value_get(value, "error");
    if (error != NULL && error->kind == HD_VALUE_STRING)
        (void)hd_copy_text(pull->error, sizeof(pull->error),
                           error->as.string[0] != '\0' ? error->as.string : "unknown error");
    note_layer(pull, value);
    note_text(pull, line_text(value, "stream"));
    hd_value_free(value);
}

void hd_docker_pull_feed(struct hd_docker_pull_stream *pull, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == '\n')
            end_line(pull);
        else if (bytes[i] == '\r')
            continue;
        else if (pull->line_used < sizeof(pull->line))
            pull->line[pull->line_used++] = bytes[i];
        else
            pull->line_cut = true;
    }
}

void hd_docker_pull_end(struct hd_docker_pull_stream *pull)
{
    end_line(pull);
}
