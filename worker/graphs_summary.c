/* SPDX-License-Identifier: Apache-2.0 */
/* graphs_summary.c: charts, thinned until they fit into a message. */
#include <hd/graphs.h>

#include <math.h>
#include <string.h>

static const size_t levels[] = {256, 64, 16, 4}; /* points of a series */

struct writer {
    struct hd_buf *out;
    struct hd_err *err;
    enum hd_code code;
    size_t points_max;
};

static void put(struct writer *w, const char *text)
{
    if (w->code == HD_OK)
        w->code = hd_buf_puts(w->out, text, w->err);
}

static void put_text(struct writer *w, const char *before, const struct hd_value *map,
                     const char *key)
{
    const struct hd_value *text = hd_value_get(map, key);
    put(w, before);
    if (w->code == HD_OK)
        w->code = hd_json_write_string(text->as.string, w->out, w->err);
}

static void put_number(struct writer *w, const struct hd_value *value)
{
    char text[HD_DOUBLE_TEXT_SIZE];
    double number = hd_value_number(value);
    hd_format_double(text, sizeof(text), number);
    put(w, isfinite(number) ? text : "null");
}

/* ---- which points ---------------------------------------------------------------------------- */

struct pick {
    const struct hd_value *y;
    size_t count, points_max;
    size_t next; /* the stretch that comes */
    size_t held; /* its other extreme; count: none */
};

/* Of the points between the first and the last, so many stretches have two each. */
static size_t stretches_of(const struct pick *pick)
{
    return (pick->points_max - 2) / 2;
}

static void find_extremes(const struct pick *pick, size_t stretch, size_t *ret_first,
                          size_t *ret_second)
{
    size_t inner = pick->count - 2, stretches = stretches_of(pick);
    size_t from = 1 + inner * stretch / stretches, to = 1 + inner * (stretch + 1) / stretches;
    size_t low = from, high = from;
    for (size_t i = from; i < to; i++) {
        double y = hd_value_number(pick->y->as.array.items[i]);
        double lowest = hd_value_number(pick->y->as.array.items[low]);
        double highest = hd_value_number(pick->y->as.array.items[high]);
        low = y < lowest || isnan(lowest) ? i : low;
        high = y > highest || isnan(highest) ? i : high;
    }
    *ret_first = low < high ? low : high;
    *ret_second = low < high ? high : low;
}

/* The point after `index`; count: there is none. */
static size_t next_point(struct pick *pick, size_t index)
{
    if (pick->count <= pick->points_max || index + 1 >= pick->count)
        return index + 1;
    if (pick->held < pick->count) {
        index = pick->held;
        pick->held = pick->count;
        return index;
    }
    if (pick->next == stretches_of(pick))
        return pick->count - 1;
    size_t first, second;
    find_extremes(pick, pick->next++, &first, &second);
    pick->held = second > first ? second : pick->count;
    return first;
}

static size_t put_points(struct writer *w, const char *before, const struct hd_value *numbers,
                         const struct hd_value *y)
{
    struct pick pick = {
        .y = y, .count = y->as.array.count, .points_max = w->points_max, .held = y->as.array.count};
    size_t put_count = 0;
    put(w, before);
    for (size_t i = 0; i < pick.count && w->code == HD_OK; i = next_point(&pick, i)) {
        put(w, put_count++ > 0 ? "," : "");
        put_number(w, numbers->as.array.items[i]);
    }
    put(w, "]");
    return put_count;
}

/* ---- charts ---------------------------------------------------------------------------------- */

static void put_series(struct writer *w, const struct hd_value *series)
{
    const struct hd_value *y = hd_value_get(series, "y");
    char text[32];
    put_text(w, "{\"label\":", series, "label");
    (void)put_points(w, ",\"x\":[", hd_value_get(series, "x"), y);
    size_t count = put_points(w, ",\"y\":[", y, y);
    (void)hd_format(text, sizeof(text), ",\"points\":%zu", y->as.array.count);
    put(w, count < y->as.array.count ? text : "");
    put(w, "}");
}

static void put_graph(struct writer *w, const struct hd_value *graph)
{
    const struct hd_value *list = hd_value_get(graph, "series");
    put_text(w, "{\"name\":", graph, "name");
    put_text(w, ",\"x_axis\":", graph, "x_axis");
    put_text(w, ",\"y_axis\":", graph, "y_axis");
    put(w, ",\"series\":[");
    for (size_t i = 0; i < list->as.array.count; i++) {
        put(w, i > 0 ? "," : "");
        put_series(w, list->as.array.items[i]);
    }
    put(w, "]}");
}

static enum hd_code try_write(const struct hd_value *graphs, size_t graph_count, size_t points_max,
                              size_t size_max, struct hd_buf *ret_text, struct hd_err *err)
{
    hd_buf_init(ret_text, size_max);
    struct writer w = {.out = ret_text, .err = err, .points_max = points_max};
    put(&w, "[");
    for (size_t i = 0; i < graph_count && w.code == HD_OK; i++) {
        put(&w, i > 0 ? "," : "");
        put_graph(&w, graphs->as.array.items[i]);
    }
    put(&w, "]");
    if (w.code != HD_OK)
        hd_buf_release(ret_text);
    return w.code;
}

enum hd_code hd_graphs_summary(const struct hd_value *graphs, size_t size_max, struct hd_buf *out,
                               struct hd_err *err)
{
    struct hd_buf text;
    size_t count = graphs->as.array.count, level = 0;
    enum hd_code code = HD_E_LIMIT;
    for (; code == HD_E_LIMIT && level < HD_COUNT(levels); level++)
        code = try_write(graphs, count, levels[level], size_max, &text, err);
    while (code == HD_E_LIMIT && --count > 0)
        code = try_write(graphs, count, levels[HD_COUNT(levels) - 1], size_max, &text, err);
    if (code == HD_E_LIMIT || (code == HD_OK && count == 0)) {
        if (code == HD_OK)
            hd_buf_release(&text);
        return HD_OK;
    }
    if (code != HD_OK)
        return code;
    code = hd_buf_append(out, hd_buf_text(&text), text.size, err);
    hd_buf_release(&text);
    return code;
}
