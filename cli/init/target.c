/*
 * A target in C: "trains" for the budget's epochs, and goes on where it was. Replace train() by your own work.
 *   cc -O2 -o target target.c -lm
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A param, or the value for configs that do not have it. */
static double param(const char *variable, double absent)
{
    const char *text = getenv(variable);
    return text != NULL ? strtod(text, NULL) : absent;
}

static FILE *open_in(const char *folder, const char *name, const char *mode)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, mode);
    if (file == NULL && mode[0] != 'r') {
        perror(path);
        exit(1);
    }
    return file;
}

static double train(int epoch)
{
    double a = log(param("HP_RATE", 0.01) / 0.02) / 4, b = log(param("HP_WIDTH", 64) / 100) / 3;
    double c = param("HP_MOMENTUM", 0) - 0.8;
    return 0.1 + a * a + b * b + 0.2 * c * c + 1.0 / (1 + epoch);
}

static void save(const char *work, int epoch, double loss)
{
    char from[4096], to[4096];
    FILE *file = open_in(work, "state.new", "w");
    fprintf(file, "%d %.17g\n", epoch, loss);
    snprintf(from, sizeof(from), "%s/state.new", work);
    snprintf(to, sizeof(to), "%s/state", work);
    if (fclose(file) != 0 || rename(from, to) != 0) { /* whole, or not at all */
        perror(to);
        exit(1);
    }
}

int main(void)
{
    const char *here = getenv("HYPERDOCK_DIR"), *work = getenv("HYPERDOCK_WORK_DIR");
    int budget = (int)param("HYPERDOCK_BUDGET", 1), epoch = 0;
    double loss = NAN;
    char stop[4096];
    if (here == NULL || work == NULL) {
        fprintf(stderr, "target: hd runs it: hd try experiment.yaml\n");
        return 2;
    }
    snprintf(stop, sizeof(stop), "%s/control/stop", here);
    FILE *state = open_in(work, "state", "r");
    if (state != NULL && fscanf(state, "%d %lf", &epoch, &loss) != 2)
        epoch = 0;
    if (state != NULL)
        fclose(state);
    while (epoch < budget) {
        loss = train(++epoch);
        printf("epoch %d: loss %g\n", epoch, loss);
        FILE *metrics = open_in(here, "metrics.jsonl", "a"); /* for early stopping, and for people */
        fprintf(metrics, "{\"step\": %d, \"loss\": %.17g}\n", epoch, loss);
        fclose(metrics);
        save(work, epoch, loss);
        if (access(stop, F_OK) == 0)
            break; /* asked to stop: what there is counts */
    }
    FILE *result = open_in(here, "loss.json", "w");
    fprintf(result, "{\"loss\": %.17g, \"epochs\": %d}\n", loss, epoch);
    return fclose(result) == 0 ? 0 : 1;
}
