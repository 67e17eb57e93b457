/* SPDX-License-Identifier: Apache-2.0 */
/* services_set.c: a set that was left running is taken over, or made anew. */
#include "services.h"

#include <hd/os.h>

#include <string.h>

/* A byte that would make some letters likelier than others is drawn again. */
void hd_services_make_uuid(char ret_uuid[HD_SERVICES_UUID_SIZE])
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    const size_t count = sizeof(letters) - 1;
    size_t used = 0;
    while (used + 1 < HD_SERVICES_UUID_SIZE) {
        unsigned char byte;
        hd_os_random(&byte, 1);
        if (byte < 256 / count * count)
            ret_uuid[used++] = letters[byte % count];
    }
    ret_uuid[used] = '\0';
}

static bool is_of(const struct hd_service_found *found, const struct hd_services_options *options)
{
    return hd_streq(found->file, options->file) &&
           (options->host == NULL || hd_streq(found->host, options->host));
}

/* A service that runs, or one that was to end and did. */
static bool is_well(const struct hd_service *service, const struct hd_service_found *found)
{
    bool ended = service->ready == HD_SERVICE_READY_EXIT && hd_streq(found->state, "exited");
    return hd_streq(service->name, found->name) && (hd_streq(found->state, "running") || ended);
}

/* Those of the set come first. Every service of the plan once, and nothing else: what two `up` that
 * were killed have left together is no set. */
static bool is_whole(const struct hd_services *plan, const struct hd_services_options *options,
                     struct hd_service_found *found, size_t count)
{
    size_t well = 0, all = 0;
    for (size_t i = 0; i < count; i++)
        if (is_of(&found[i], options))
            found[all++] = found[i];
    for (size_t i = 0; i < all; i++)
        for (size_t k = 0; k < plan->count; k++)
            well += is_well(&plan->items[k], &found[i]) && hd_streq(found[i].uuid, found[0].uuid);
    return all == plan->count && well == plan->count;
}

/* *ret_there: it is there whole, and ready. */
static enum hd_code take_over(const struct hd_services *plan,
                              const struct hd_services_options *options,
                              char ret_uuid[HD_SERVICES_UUID_SIZE], bool *ret_there,
                              struct hd_err *err)
{
    struct hd_service_found *found = NULL;
    size_t count;
    enum hd_code code = hd_services_list(options, &found, &count, err);
    if (code != HD_OK)
        return code;
    bool whole = is_whole(plan, options, found, count);
    if (whole) {
        (void)hd_copy_text(ret_uuid, HD_SERVICES_UUID_SIZE, found[0].uuid);
        code = services_await_all(plan, found, plan->count, options, err);
    }
    hd_free(found);
    whole = whole && code == HD_OK;
    if (code == HD_E_TIMEOUT || code == HD_E_CONFLICT) /* it will not be ready; another one may */
        code = HD_OK;
    *ret_there = whole;
    return code;
}

enum hd_code hd_services_ensure(const struct hd_services *plan,
                                const struct hd_services_options *options,
                                char ret_uuid[HD_SERVICES_UUID_SIZE], bool *ret_made,
                                struct hd_err *err)
{
    size_t removed;
    bool there = false;
    *ret_made = false;
    enum hd_code code = take_over(plan, options, ret_uuid, &there, err);
    if (code != HD_OK || there)
        return code;
    /* What still uses a network of a broken set does not keep another one from standing beside. */
    code = hd_services_down(options, &removed, err);
    if (code == HD_OK || options->apart)
        code = hd_services_up(plan, options, err);
    if (code != HD_OK)
        return code;
    (void)hd_copy_text(ret_uuid, HD_SERVICES_UUID_SIZE, options->uuid);
    *ret_made = true;
    return HD_OK;
}
