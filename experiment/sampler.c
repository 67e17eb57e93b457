/* SPDX-License-Identifier: Apache-2.0 */
/* sampler.c: the section `sampler`: a name, and settings that the sampler itself checks. */
#include "read.h"

#include <hd/sampler.h>
#include <string.h>

/* As other programs spell it: ETPE is UltraOpt's TPE. */
static const char *known_sampler(const char *given)
{
    char folded[HD_SAMPLER_NAME_MAX];
    if (!hd_copy_text(folded, sizeof(folded), given))
        return given;
    for (char *c = folded; *c != '\0'; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    if (hd_streq(folded, "etpe"))
        return "tpe";
    const char *const *names = hd_sampler_names();
    for (size_t i = 0; names[i] != NULL; i++)
        if (hd_streq(names[i], folded))
            return names[i];
    return given;
}

static size_t count_names(const char *const *names)
{
    size_t count = 0;
    while (names[count] != NULL)
        count++;
    return count;
}

/* Everything but the name is the sampler's own. */
static enum hd_code copy_settings(const struct hd_reader *reader, const struct hd_value *object,
                                  struct hd_value *settings)
{
    for (size_t i = 0; object != NULL && i < object->as.object.count; i++) {
        struct hd_value *item = NULL;
        if (hd_streq(object->as.object.keys[i], "name"))
            continue;
        enum hd_code code = hd_value_copy(object->as.object.items[i], &item, reader->err);
        if (code != HD_OK)
            return code;
        if (hd_value_set(settings, object->as.object.keys[i], item) != HD_OK)
            return hd_read_nomem(reader);
    }
    return HD_OK;
}

/* A key that is almost "name" would be refused as a setting of the default sampler. */
static enum hd_code refuse_almost_name(const struct hd_reader *reader,
                                       const struct hd_value *object)
{
    static const char *const name[] = {"name"};
    for (size_t i = 0; object != NULL && i < object->as.object.count; i++) {
        const char *key = object->as.object.keys[i];
        if (!hd_streq(key, "name") && hd_nearest(key, name, 1) != NULL)
            return hd_read_fail(reader, HD_E_INVALID, object->as.object.items[i], "sampler", key,
                                "unknown key, did you mean \"name\"?");
    }
    return HD_OK;
}

/* A sampler says "sampler.KEY: " first when it refuses a setting, and knows no file: the place is
 * that of the setting. */
static enum hd_code say_where(const struct hd_reader *reader, const struct hd_value *object)
{
    static const char prefix[] = "sampler.";
    const char *key = reader->err->text + sizeof(prefix) - 1;
    if (object == NULL || strncmp(reader->err->text, prefix, sizeof(prefix) - 1) != 0)
        return hd_read_wrap(reader, object, "sampler", "");
    for (size_t i = 0; i < object->as.object.count; i++) {
        size_t size = strlen(object->as.object.keys[i]);
        if (strncmp(key, object->as.object.keys[i], size) == 0 && key[size] == ':')
            return hd_read_wrap(reader, object->as.object.items[i], "", "");
    }
    return hd_read_wrap(reader, object, "", "");
}

/* The sampler itself checks its settings. */
static enum hd_code try_sampler(const struct hd_reader *reader, const struct hd_value *object,
                                const struct hd_experiment *experiment)
{
    struct hd_sampler *sampler = NULL;
    struct hd_sampler_spec spec = {.name = experiment->sampler_name,
                                   .settings = experiment->sampler_settings};
    enum hd_code code = hd_sampler_new(&spec, experiment->space, &sampler, reader->err);
    hd_sampler_free(sampler);
    return code == HD_OK ? code : say_where(reader, object);
}

enum hd_code hd_sampler_part_parse(const struct hd_reader *reader, const struct hd_value *root,
                                   struct hd_experiment *experiment)
{
    const struct hd_value *object;
    enum hd_code code = hd_read_object(reader, root, "", "sampler", &object);
    const struct hd_value *given_name = code == HD_OK ? hd_read_member(object, "name") : NULL;
    char *given = NULL;
    if (code == HD_OK)
        code = hd_read_text(reader, object, "sampler", "name", &given);
    if (code != HD_OK)
        return code;
    const char *known = known_sampler(given != NULL ? given : "auto");
    experiment->sampler_name = hd_strdup(known);
    experiment->sampler_settings = hd_value_new_object();
    hd_free(given);
    if (experiment->sampler_name == NULL || experiment->sampler_settings == NULL)
        return hd_read_nomem(reader);
    const char *const *names = hd_sampler_names();
    size_t index = 0, count = count_names(names);
    while (index < count && !hd_streq(names[index], experiment->sampler_name))
        index++;
    if (index == count) /* tells the nearest */
        return hd_read_choice(reader, object, "sampler", "name", names, count, &index);
    if (given_name == NULL)
        code = refuse_almost_name(reader, object);
    if (code == HD_OK)
        code = copy_settings(reader, object, experiment->sampler_settings);
    return code == HD_OK ? try_sampler(reader, object, experiment) : code;
}
