/* SPDX-License-Identifier: Apache-2.0 */
/* contract_reader DIR: what the readers say of lines "loss TEXT", "metrics TEXT" and "graphs TEXT"
 * on standard input: "yes" when there is a result, a point or charts in it, "no" otherwise, one
 * line each. */
#include "contract.h"

#include <hd/graphs.h>

#include <stdio.h>
#include <string.h>

static bool is_point(const char *dir, const char *text, const struct hd_experiment *experiment)
{
    char path[4096];
    struct hd_metrics metrics = {0};
    struct hd_point point;
    if (!hd_format(path, sizeof(path), "%s/metrics.jsonl", dir))
        return false;
    FILE *out = fopen(path, "w");
    hd_assert(out != NULL);
    fprintf(out, "%s\n", text);
    hd_assert(fclose(out) == 0);
    return hd_metrics_read(&metrics, dir, experiment, (struct hd_attempt_ref){1, 0, 1}, &point, 1) >
           0;
}

int main(int argc, char **argv)
{
    static char name[] = "loss", line[65536];
    const struct hd_experiment experiment = {.objective = {.name = name}, .objective_count = 1};
    static struct hd_loss loss;
    while (argc == 2 && fgets(line, sizeof(line), stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *text = strchr(line, ' ');
        if (text == NULL)
            return 1;
        *text++ = '\0';
        bool good = false;
        if (hd_streq(line, "loss")) {
            hd_loss_parse(text, strlen(text), &experiment, &loss);
            good = loss.present;
        } else if (hd_streq(line, "graphs")) {
            struct hd_value *graphs = NULL;
            struct hd_err ignored;
            good = hd_graphs_parse(text, strlen(text), &graphs, &ignored) == HD_OK;
            hd_value_free(graphs);
        } else {
            good = is_point(argv[1], text, &experiment);
        }
        printf("%s\n", good ? "yes" : "no");
    }
    return 0;
}
