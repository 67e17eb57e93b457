/* SPDX-License-Identifier: Apache-2.0 */
/* sampler.c: the section `sampler`: a name, and settings, which the sampler reads when it is made.
 */
#include "read.h"

#include <hd/sampler.h>

/* As other programs spell it: ETPE is UltraOpt's TPE. */
static const char *known_sampler(const char *given)
{
    char folded[HD_SAMPLER_NAME_MAX];
    if (!hd_copy_text(folded, sizeof(folded), given))
        return given;
    for (char *c = folded; *c != '\0'; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    return hd_streq(folded, "etpe") ? "tpe" : given;
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

enum hd_code hd_sampler_part_parse(const struct hd_reader *reader, const struct hd_value *root,
                                   struct hd_experiment *experiment)
{
    const struct hd_value *object;
    enum hd_code code = hd_read_object(reader, root, "", "sampler", &object);
    char *given = NULL;
    if (code == HD_OK)
        code = hd_read_text(reader, object, "sampler", "name", &given);
    if (code != HD_OK)
        return code;
    const char *known = known_sampler(given != NULL ? given : "tpe");
    experiment->sampler_name = hd_strdup(known);
    experiment->sampler_settings = hd_value_new_object();
    hd_free(given);
    if (experiment->sampler_name == NULL || experiment->sampler_settings == NULL)
        return hd_read_nomem(reader);
    return copy_settings(reader, object, experiment->sampler_settings);
}
