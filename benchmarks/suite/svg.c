/* SPDX-License-Identifier: Apache-2.0 */
/*
 * svg.c: mean regret against budget and against virtual time, with a band of one standard error.
 * Axes are logarithmic. Time is in units of what a full evaluation takes on that task, in the mean
 * over all runs drawn, divided among the workers: 1 is when W workers could have done W of them.
 */
#include "report.h"

#include <math.h>

#define POINTS 120
#define PANEL_WIDTH 460.0
#define PANEL_HEIGHT 320.0
#define MARGIN 60.0
#define LEGEND_HEIGHT 20.0

struct panel {
    double x_low, x_high, y_low, y_high, left;
    const char *label;
    bool by_time;
};

static const char *const colours[] = {"#1b6ca8", "#d1495b", "#2e933c", "#8d5a97", "#e08e1b",
                                      "#3c3c3c", "#17a2b8", "#a0522d", "#7a9e00", "#ff69b4"};

/* What one full evaluation takes on a problem. */
static double time_unit(const struct bench_plan *plan, const struct bench_result *results,
                        size_t problem)
{
    double time = 0, spent = 0;
    for (size_t i = 0; i < plan->unit_count; i++)
        if (plan->units[i].problem_index == problem) {
            time += results[i].trace.time * plan->workers;
            spent += results[i].trace.spent;
        }
    return spent > 0 && time > 0 ? time / spent : 1;
}

static double regret_at_time(const struct bench_trace *trace, double time)
{
    double found = NAN;
    for (uint32_t i = 0; i < trace->step_count && trace->steps[i].time <= time; i++)
        found = trace->steps[i].regret;
    return found;
}

static void mean_at(const struct bench_plan *plan, const struct bench_result *results,
                    const double *units, const struct panel *panel, size_t method, double x,
                    double *ret_mean, double *ret_error)
{
    double sum = 0, squares = 0, count = 0;
    if (!panel->by_time) {
        bench_mean(plan, results, method, SIZE_MAX, x, ret_mean, ret_error);
        return;
    }
    for (size_t p = 0; p < plan->problem_count; p++) {
        double own = 0, own_squares = 0, own_count = 0;
        for (size_t i = 0; i < plan->unit_count; i++) {
            if (plan->units[i].method_index != method || plan->units[i].problem_index != p)
                continue;
            double regret = regret_at_time(&results[i].trace, x * units[p]);
            own += regret;
            own_squares += regret * regret;
            own_count++;
        }
        sum += own;
        squares += own_squares - own * own / own_count;
        count += own_count;
    }
    double free_count = count - (double)plan->problem_count;
    *ret_mean = sum / count;
    *ret_error = free_count > 0 && squares > 0 ? sqrt(squares / free_count / count) : 0;
}

static double place_x(const struct panel *panel, double x)
{
    return panel->left + MARGIN +
           PANEL_WIDTH * log(x / panel->x_low) / log(panel->x_high / panel->x_low);
}

static double place_y(const struct panel *panel, double y)
{
    double kept = y < panel->y_low ? panel->y_low : y > panel->y_high ? panel->y_high : y;
    return 20 + PANEL_HEIGHT * log(panel->y_high / kept) / log(panel->y_high / panel->y_low);
}

static double point_of(const struct panel *panel, size_t i)
{
    return panel->x_low * pow(panel->x_high / panel->x_low, (double)i / (POINTS - 1));
}

/* One method: the band, forth along its top and back along its bottom, and the line. */
static enum hd_code draw_method(const struct bench_plan *plan, const struct bench_result *results,
                                const double *units, const struct panel *panel, size_t method,
                                struct hd_buf *out, struct hd_err *err)
{
    const char *colour = colours[method % HD_COUNT(colours)];
    double mean[POINTS], error[POINTS];
    enum hd_code code = HD_OK;
    for (size_t i = 0; i < POINTS; i++) {
        mean_at(plan, results, units, panel, method, point_of(panel, i), &mean[i], &error[i]);
        error[i] = isfinite(error[i]) ? error[i] : 0;
    }
    for (int part = 0; part < 2; part++) {
        code = code == HD_OK
                   ? hd_buf_puts(out, part == 0 ? "<polygon points=\"" : "<polyline points=\"", err)
                   : code;
        for (size_t i = 0; code == HD_OK && i < (part == 0 ? 2 * POINTS : POINTS); i++) {
            size_t k = i < POINTS ? i : 2 * POINTS - 1 - i;
            double y = part == 1 ? mean[k] : i < POINTS ? mean[k] + error[k] : mean[k] - error[k];
            if (isfinite(y))
                code = hd_buf_printf(out, err, "%.1f,%.1f ", place_x(panel, point_of(panel, k)),
                                     place_y(panel, y));
        }
        if (code == HD_OK)
            code = part == 0
                       ? hd_buf_printf(out, err, "\" fill=\"%s\" fill-opacity=\"0.15\"/>\n", colour)
                       : hd_buf_printf(out, err,
                                       "\" fill=\"none\" stroke=\"%s\" stroke-width=\"1.8\"/>\n",
                                       colour);
    }
    return code;
}

static enum hd_code draw_axes(const struct panel *panel, struct hd_buf *out, struct hd_err *err)
{
    enum hd_code code = hd_buf_printf(
        out, err,
        "<rect x=\"%.1f\" y=\"20\" width=\"%.1f\" height=\"%.1f\" fill=\"none\" stroke=\"#888\"/>\n"
        "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
        panel->left + MARGIN, PANEL_WIDTH, PANEL_HEIGHT, panel->left + MARGIN + PANEL_WIDTH / 2,
        PANEL_HEIGHT + 54, panel->label);
    for (int power = -12; power <= 12; power++)
        for (int digit = 1; digit <= 5; digit += digit == 1 ? 1 : 3) {
            double number = digit * pow(10, power);
            if (code == HD_OK && number >= panel->x_low * 0.999 && number <= panel->x_high * 1.001)
                code = hd_buf_printf(
                    out, err, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%g</text>\n",
                    place_x(panel, number), PANEL_HEIGHT + 36, number);
            if (code == HD_OK && number >= panel->y_low * 0.999 && number <= panel->y_high * 1.001)
                code = hd_buf_printf(
                    out, err,
                    "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>"
                    "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
                    panel->left + MARGIN, panel->left + MARGIN + PANEL_WIDTH,
                    place_y(panel, number), place_y(panel, number), panel->left + MARGIN - 6,
                    place_y(panel, number) + 4, number);
        }
    return code;
}

/* The range of what is drawn, at least one decade and at most four. */
static void find_range(const struct bench_plan *plan, const struct bench_result *results,
                       const double *units, struct panel *panel)
{
    double low = INFINITY, high = 0;
    for (size_t m = 0; m < plan->method_count; m++)
        for (size_t i = 0; i < POINTS; i++) {
            double mean, error;
            mean_at(plan, results, units, panel, m, point_of(panel, i), &mean, &error);
            high = mean > high ? mean : high;
            low = mean > 0 && mean < low ? mean : low;
        }
    high = high > 0 ? high : 1;
    low = low < high ? low : high;
    panel->y_high = high * 1.3;
    panel->y_low = low / 1.5 < panel->y_high * 1e-4 ? panel->y_high * 1e-4 : low / 1.5;
    panel->y_low = panel->y_low > panel->y_high / 10 ? panel->y_high / 10 : panel->y_low;
}

enum hd_code bench_svg_write(const struct bench_plan *plan, const struct bench_result *results,
                             struct hd_buf *out, struct hd_err *err)
{
    double units[BENCH_PROBLEMS_MAX];
    double most = plan->full_evaluations > 1 ? plan->full_evaluations : 2;
    struct panel panels[] = {
        {.x_low = 0.5, .x_high = most, .left = 0, .label = "full evaluations"},
        {.x_low = most / plan->workers / 100,
         .x_high = most / plan->workers,
         .left = PANEL_WIDTH + MARGIN + 20,
         .label = "virtual time, in mean full evaluations",
         .by_time = true},
    };
    double height = PANEL_HEIGHT + 70 + LEGEND_HEIGHT * (double)plan->method_count;
    for (size_t p = 0; p < plan->problem_count; p++)
        units[p] = time_unit(plan, results, p);
    enum hd_code code = hd_buf_printf(
        out, err,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
        "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" "
        "fill=\"white\"/>\n<text x=\"%.0f\" y=\"14\">mean regret and its standard "
        "error, %s, %zu task%s, %u worker%s</text>\n",
        2 * PANEL_WIDTH + 2 * MARGIN + 60, height, MARGIN, plan->problems[0]->suite,
        plan->problem_count, plan->problem_count == 1 ? "" : "s", plan->workers,
        plan->workers == 1 ? "" : "s");
    for (size_t i = 0; code == HD_OK && i < HD_COUNT(panels); i++) {
        find_range(plan, results, units, &panels[i]);
        code = draw_axes(&panels[i], out, err);
        for (size_t m = 0; code == HD_OK && m < plan->method_count; m++)
            code = draw_method(plan, results, units, &panels[i], m, out, err);
    }
    for (size_t m = 0; code == HD_OK && m < plan->method_count; m++) {
        double y = PANEL_HEIGHT + 76 + LEGEND_HEIGHT * (double)m;
        code = hd_buf_printf(out, err,
                             "<line x1=\"%.0f\" x2=\"%.0f\" y1=\"%.0f\" y2=\"%.0f\" stroke=\"%s\" "
                             "stroke-width=\"3\"/><text x=\"%.0f\" y=\"%.0f\">%s</text>\n",
                             MARGIN, MARGIN + 30, y - 4, y - 4, colours[m % HD_COUNT(colours)],
                             MARGIN + 40, y, plan->method_names[m]);
    }
    return code == HD_OK ? hd_buf_puts(out, "</svg>\n", err) : code;
}
