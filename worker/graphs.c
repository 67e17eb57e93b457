/* SPDX-License-Identifier: Apache-2.0 */
/* graphs.c: see <hd/graphs.h>. */
#include <hd/graphs.h>

#include <hd/engine.h>

#include <math.h>
#include <string.h>

/* Where we are, for messages. */
struct place {
    size_t graph;
    bool summary; /* of hd_graphs_summary() */
    struct hd_err *err;
};

static enum hd_code wrong(const struct place *place, const char *what)
{
    return hd_fail(place->err, HD_E_INVALID, "graphs.json: chart %zu: %s", place->graph + 1, what);
}

static enum hd_code nomem(const struct place *place)
{
    return hd_fail(place->err, HD_E_NOMEM, "no memory for charts");
}

static enum hd_code put(const struct place *place, struct hd_value *map, const char *key,
                        struct hd_value *item)
{
    return hd_value_set(map, key, item) == HD_OK ? HD_OK : nomem(place);
}

/* ---- numbers --------------------------------------------------------------------------------- */

static bool is_number(const struct hd_value *value, bool finite)
{
    if (value->kind == HD_VALUE_INT)
        return true;
    return value->kind == HD_VALUE_DOUBLE && (!finite || isfinite(value->as.number));
}

/* Programs that know no lists of one write the number alone. */
static enum hd_code copy_numbers(const struct place *place, const struct hd_value *given,
                                 bool finite, struct hd_value **ret_list)
{
    if (given == NULL)
        return wrong(place, "a series needs x and y");
    bool is_list = given->kind == HD_VALUE_ARRAY;
    size_t count = is_list ? given->as.array.count : 1;
    if (count == 0)
        return wrong(place, "a series has no points");
    struct hd_value *list = hd_value_new_array();
    enum hd_code code = list != NULL ? HD_OK : nomem(place);
    for (size_t i = 0; code == HD_OK && i < count; i++) {
        const struct hd_value *item = is_list ? given->as.array.items[i] : given;
        bool none = place->summary && !finite && item->kind == HD_VALUE_NULL;
        if (!none && !is_number(item, finite))
            code = wrong(place,
                         finite ? "x holds what is no finite number" : "y holds what is no number");
        else if (hd_value_append(list, hd_value_new_double(hd_value_number(item))) != HD_OK)
            code = nomem(place);
    }
    if (code == HD_OK)
        *ret_list = list;
    else
        hd_value_free(list);
    return code;
}

/* ---- texts ----------------------------------------------------------------------------------- */

static enum hd_code copy_text(const struct place *place, const struct hd_value *from,
                              const char *key, bool needed, struct hd_value *to)
{
    const struct hd_value *text = hd_value_get(from, key);
    if (text == NULL && !needed)
        return put(place, to, key, hd_value_new_string(""));
    if (text == NULL || text->kind != HD_VALUE_STRING || (needed && text->as.string[0] == '\0'))
        return wrong(place, needed ? "needs a name, and each series a label"
                                   : "an axis is called by a text");
    if (strlen(text->as.string) > HD_GRAPH_TEXT_MAX)
        return wrong(place, "a name is too long");
    return put(place, to, key, hd_value_new_string(text->as.string));
}

/* ---- charts ---------------------------------------------------------------------------------- */

/* How many there were before some were left out. */
static enum hd_code copy_points(const struct place *place, const struct hd_value *given,
                                size_t count, struct hd_value *series)
{
    const struct hd_value *points = place->summary ? hd_value_get(given, "points") : NULL;
    if (points == NULL)
        return HD_OK;
    if (points->kind != HD_VALUE_INT || points->as.integer < (int64_t)count ||
        points->as.integer > (int64_t)HD_GRAPHS_BYTES_MAX)
        return wrong(place, "its points are not as many as it says");
    return put(place, series, "points", hd_value_new_int(points->as.integer));
}

static enum hd_code fill_series(const struct place *place, const struct hd_value *given,
                                struct hd_value *series)
{
    struct hd_value *x = NULL, *y = NULL;
    if (given->kind != HD_VALUE_OBJECT)
        return wrong(place, "a series is a map");
    enum hd_code code = copy_text(place, given, "label", true, series);
    if (code == HD_OK)
        code = copy_numbers(place, hd_value_get(given, "x"), true, &x);
    if (code == HD_OK)
        code = copy_numbers(place, hd_value_get(given, "y"), false, &y);
    if (code == HD_OK && x->as.array.count != y->as.array.count)
        code = wrong(place, "x and y are not of one length");
    if (code != HD_OK) {
        hd_value_free(x);
        hd_value_free(y);
        return code;
    }
    size_t count = y->as.array.count;
    code = put(place, series, "x", x);
    if (code != HD_OK)
        hd_value_free(y);
    if (code == HD_OK)
        code = put(place, series, "y", y);
    return code == HD_OK ? copy_points(place, given, count, series) : code;
}

static enum hd_code fill_list(const struct place *place, const struct hd_value *given,
                              struct hd_value *list)
{
    bool is_list = given != NULL && given->kind == HD_VALUE_ARRAY;
    if (given == NULL || (!is_list && given->kind != HD_VALUE_OBJECT))
        return wrong(place, "needs a list of series");
    size_t count = is_list ? given->as.array.count : 1;
    if (count > HD_GRAPH_SERIES_MAX)
        return wrong(place, "has too many series");
    enum hd_code code = HD_OK;
    for (size_t i = 0; code == HD_OK && i < count; i++) {
        struct hd_value *series = hd_value_new_object();
        code = series != NULL
                   ? fill_series(place, is_list ? given->as.array.items[i] : given, series)
                   : nomem(place);
        if (code != HD_OK)
            hd_value_free(series);
        else if (hd_value_append(list, series) != HD_OK)
            code = nomem(place);
    }
    return code;
}

static enum hd_code fill_graph(const struct place *place, const struct hd_value *given,
                               struct hd_value *graph)
{
    if (given->kind != HD_VALUE_OBJECT)
        return wrong(place, "is no map");
    enum hd_code code = copy_text(place, given, "name", true, graph);
    if (code == HD_OK)
        code = copy_text(place, given, "x_axis", false, graph);
    if (code == HD_OK)
        code = copy_text(place, given, "y_axis", false, graph);
    struct hd_value *list = code == HD_OK ? hd_value_new_array() : NULL;
    if (code == HD_OK)
        code = list != NULL ? fill_list(place, hd_value_get(given, "series"), list) : nomem(place);
    if (code != HD_OK) {
        hd_value_free(list);
        return code;
    }
    return put(place, graph, "series", list);
}

static enum hd_code fill_graphs(const struct hd_value *given, bool summary, struct hd_value *graphs,
                                struct hd_err *err)
{
    struct place place = {.summary = summary, .err = err};
    bool is_list = given->kind == HD_VALUE_ARRAY;
    size_t count = is_list ? given->as.array.count : 1;
    if (count > HD_GRAPHS_MAX)
        return hd_fail(err, HD_E_LIMIT, "graphs.json: more than %d charts", HD_GRAPHS_MAX);
    enum hd_code code = HD_OK;
    for (; code == HD_OK && place.graph < count; place.graph++) {
        struct hd_value *graph = hd_value_new_object();
        code = graph != NULL
                   ? fill_graph(&place, is_list ? given->as.array.items[place.graph] : given, graph)
                   : nomem(&place);
        if (code != HD_OK)
            hd_value_free(graph);
        else if (hd_value_append(graphs, graph) != HD_OK)
            code = nomem(&place);
    }
    return code;
}

static enum hd_code take(const struct hd_value *given, bool summary, struct hd_value **ret_graphs,
                         struct hd_err *err)
{
    struct hd_value *graphs = hd_value_new_array();
    enum hd_code code = graphs != NULL ? fill_graphs(given, summary, graphs, err)
                                       : hd_fail(err, HD_E_NOMEM, "no memory for charts");
    if (code == HD_OK)
        *ret_graphs = graphs;
    else
        hd_value_free(graphs);
    return code;
}

enum hd_code hd_graphs_parse(const char *text, size_t size, struct hd_value **ret_graphs,
                             struct hd_err *err)
{
    struct hd_value *given = NULL;
    enum hd_code code = hd_target_json_parse(text, size, "graphs.json", &given, err);
    if (code == HD_OK)
        code = take(given, false, ret_graphs, err);
    hd_value_free(given);
    return code;
}

enum hd_code hd_graphs_read_summary(const struct hd_value *summary, struct hd_value **ret_graphs,
                                    struct hd_err *err)
{
    return take(summary, true, ret_graphs, err);
}
