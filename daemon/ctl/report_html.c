/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One page that needs nothing else: no script, no font, no picture from anywhere, and a policy in its
 * head that would not let it fetch one. The timeline is drawn as SVG.
 */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "attack.h"
#include "report_write.h"
#include "rules.h"

#define ROWS 25        /* of each table */
#define CHART_W 960u
#define CHART_H 160u
#define CHART_TICKS 6u

static const char head[] =
	"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
	"'unsafe-inline'\">\n"
	"<meta name=\"viewport\" content=\"width=device-width\">\n"
	"<title>pyaudit report</title>\n<style>\n"
	":root{color-scheme:light dark;--line:#8884;--bar:#d99000;--deny:#c62828}\n"
	"body{font:15px/1.45 system-ui,sans-serif;max-width:1000px;margin:2em auto;padding:0 1em}\n"
	"h1{font-size:1.5em;margin:0}h2{font-size:1.1em;margin:2em 0 .4em}p{margin:.2em 0}\n"
	".sums{display:flex;gap:2.5em;margin:1.2em 0}.sums b{display:block;font-size:1.9em}\n"
	"table{border-collapse:collapse;width:100%;font-size:.92em}\n"
	"td,th{padding:.25em .6em;text-align:left;border-bottom:1px solid var(--line);"
	"vertical-align:top;overflow-wrap:anywhere}\n"
	"th{font-weight:600;white-space:nowrap}.n{text-align:right;white-space:nowrap;"
	"font-variant-numeric:tabular-nums}.t{white-space:nowrap}\n"
	".critical,.error,.deny{color:var(--deny);font-weight:600}.warning{color:var(--bar)}\n"
	".bars rect{fill:var(--bar)}.bars .d{fill:var(--deny)}.bars text{fill:currentColor;"
	"font-size:11px}.bars line{stroke:var(--line)}svg{width:100%;height:auto}\n"
	"code{font-size:.95em}footer{margin:3em 0;opacity:.7;font-size:.9em}\n"
	"</style></head><body>\n";

/* Text as text, whatever it holds: also what is no UTF-8, and what turns lines around. */
static void
add_text(struct buf *out, const char *text)
{
	size_t left = strlen(text);

	while (left > 0) {
		size_t n = utf8_sequence(text, left);
		unsigned char c = (unsigned char)*text;

		if (n == 0 || (n == 1 && c < 0x20 && c != '\n' && c != '\t') || c == 0x7f) {
			buf_addf(out, "\\x%02x", c);
			n = 1;
		} else if (n == 3 && memcmp(text, "\xe2\x80", 2) == 0 &&
			   (unsigned char)text[2] >= 0x8e && (unsigned char)text[2] <= 0xae) {
			buf_addf(out, "\\u20%02x", (unsigned)((unsigned char)text[2] - 0x80));
		} else if (n == 3 && memcmp(text, "\xe2\x81", 2) == 0 &&
			   (unsigned char)text[2] >= 0xa6 && (unsigned char)text[2] <= 0xa9) {
			buf_addf(out, "\\u20%02x", (unsigned)((unsigned char)text[2] - 0x40));
		} else if (c == '<') {
			buf_add_str(out, "&lt;");
		} else if (c == '>') {
			buf_add_str(out, "&gt;");
		} else if (c == '&') {
			buf_add_str(out, "&amp;");
		} else if (c == '"') {
			buf_add_str(out, "&quot;");
		} else if (c == '\'') {
			buf_add_str(out, "&#39;");
		} else {
			buf_add(out, text, n);
		}
		text += n;
		left -= n;
	}
}

enum time_form { DATE_AND_TIME, WITH_ZONE, DATE, TIME_OF_DAY };

static void
add_time(struct buf *out, uint64_t time_ns, enum time_form form)
{
	time_t seconds = (time_t)(time_ns / 1000000000u);
	char text[64] = "-";
	struct tm tm;

	if (time_ns != 0 && localtime_r(&seconds, &tm) != NULL) {
		switch (form) {
		case DATE_AND_TIME:
			(void)strftime(text, sizeof(text), "%F %T", &tm);
			break;
		case WITH_ZONE:
			(void)strftime(text, sizeof(text), "%F %T %Z", &tm);
			break;
		case DATE:
			(void)strftime(text, sizeof(text), "%F", &tm);
			break;
		case TIME_OF_DAY:
			(void)strftime(text, sizeof(text), "%T", &tm);
			break;
		}
	}
	buf_add_str(out, text);
}

static void
add_sum(struct buf *out, const char *class, uint64_t n, const char *what)
{
	buf_addf(out, "<div><b%s>%llu</b>%s</div>\n", n > 0 ? class : "", (unsigned long long)n, what);
}

static void
add_head(struct buf *out, const struct report_view *view)
{
	const struct tally *tally = view->tally;
	char host[256] = "";

	buf_add_str(out, head);
	buf_add_str(out, "<h1>What Python programs were denied, and what they were watched for</h1>\n<p>");
	if (gethostname(host, sizeof(host) - 1) == 0)
		add_text(out, host);
	buf_add_str(out, ", from ");
	add_text(out, view->source);
	buf_add_str(out, ": ");
	add_time(out, view->span.since_ns != 0 ? view->span.since_ns : tally->first_ns, DATE_AND_TIME);
	buf_add_str(out, " to ");
	add_time(out, view->span.until_ns != 0 ? view->span.until_ns : tally->last_ns, WITH_ZONE);
	buf_add_str(out, "</p>\n<div class=\"sums\">\n");
	add_sum(out, "", tally->n, "alerts");
	add_sum(out, " class=\"deny\"", tally->n_denied, "acts denied");
	add_sum(out, "", tally->n_observed, "would have been denied");
	if (tally->n_suppressed > 0)
		add_sum(out, "", tally->n_suppressed, "of them held back by limits");
	add_sum(out, " class=\"warning\"", tally->n_lost, "events lost");
	buf_add_str(out, "</div>\n");
}

static void
add_bar(struct buf *out, size_t slot, uint64_t n, uint64_t most, const char *class)
{
	double width = (double)CHART_W / TALLY_SLOTS;
	double height = (double)n / (double)most * CHART_H;

	if (n > 0)
		buf_addf(out, "<rect%s x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>", class,
			 (double)slot * width, CHART_H - height, width * 0.85, height);
}

static void
add_timeline(struct buf *out, const struct tally *tally)
{
	uint64_t most = 1, end_ns = tally->slot_start_ns + TALLY_SLOTS * tally->slot_ns;
	enum time_form form = end_ns - tally->slot_start_ns > UINT64_C(2) * 86400 * 1000000000 ? DATE : TIME_OF_DAY;

	for (size_t i = 0; i < TALLY_SLOTS; i++)
		most = tally->slots[i].n > most ? tally->slots[i].n : most;
	buf_addf(out,
		 "<h2>Over time</h2>\n<svg class=\"bars\" viewBox=\"0 -14 %u %u\" role=\"img\" "
		 "aria-label=\"Alerts over time\">\n"
		 "<line x1=\"0\" y1=\"%u\" x2=\"%u\" y2=\"%u\"/><text x=\"0\" y=\"-3\">%llu in %llu s</text>\n",
		 CHART_W, CHART_H + 34, CHART_H, CHART_W, CHART_H, (unsigned long long)most,
		 (unsigned long long)(tally->slot_ns / 1000000000u));
	for (size_t i = 0; i < TALLY_SLOTS; i++) {
		if (tally->slots[i].n == 0)
			continue;
		buf_add_str(out, "<g><title>");
		add_time(out, tally->slot_start_ns + i * tally->slot_ns, DATE_AND_TIME);
		buf_addf(out, ": %llu alerts, %llu denied</title>", (unsigned long long)tally->slots[i].n,
			 (unsigned long long)tally->slots[i].n_denied);
		add_bar(out, i, tally->slots[i].n, most, "");
		add_bar(out, i, tally->slots[i].n_denied, most, " class=\"d\"");
		buf_add_str(out, "</g>\n");
	}
	for (unsigned i = 0; i < CHART_TICKS; i++) {
		buf_addf(out, "<text x=\"%u\" y=\"%u\">", CHART_W / CHART_TICKS * i, CHART_H + 14);
		add_time(out, tally->slot_start_ns + TALLY_SLOTS / CHART_TICKS * i * tally->slot_ns,
			 form);
		buf_add_str(out, "</text>\n");
	}
	buf_add_str(out, "</svg>\n");
}

static void
add_table(struct buf *out, const struct tally_table *table, enum tally_by by)
{
	buf_addf(out,
		 "<h2>By %s</h2>\n<table><tr><th>%s</th><th class=\"n\">Alerts</th><th "
		 "class=\"n\">Denied</th><th>Severity</th><th>First</th><th>Last</th></tr>\n",
		 tally_name(by), tally_name(by));
	for (size_t i = 0; i < table->n && i < ROWS; i++) {
		const struct tally_row *row = &table->rows[i];
		const char *technique = by == TALLY_TECHNIQUE ? attack_name(row->name) : NULL;
		const char *severity = severity_name(row->severity);

		buf_add_str(out, "<tr><td><code>");
		add_text(out, row->name);
		buf_add_str(out, "</code> ");
		if (technique != NULL)
			add_text(out, technique);
		buf_addf(out,
			 "</td><td class=\"n\">%llu</td><td class=\"n\">%llu</td><td "
			 "class=\"%s\">%s</td><td class=\"t\">",
			 (unsigned long long)row->n, (unsigned long long)row->n_denied, severity,
			 severity);
		add_time(out, row->first_ns, DATE_AND_TIME);
		buf_add_str(out, "</td><td class=\"t\">");
		add_time(out, row->last_ns, DATE_AND_TIME);
		buf_add_str(out, "</td></tr>\n");
	}
	if (table->n > ROWS)
		buf_addf(out, "<tr><td colspan=\"6\">and %zu more</td></tr>\n", table->n - ROWS);
	buf_add_str(out, "</table>\n");
}

static void
add_incident(struct buf *out, const struct incident *x)
{
	const char *severity = severity_name(tally_severity(x->severity));

	buf_add_str(out, "<tr><td class=\"t\">");
	add_time(out, x->time_ns, DATE_AND_TIME);
	buf_addf(out, "</td><td class=\"%s\">%s</td><td>%s</td><td><code>", severity, severity,
		 x->is_denied     ? "<span class=\"deny\">denied</span>"
		 : x->is_observed ? "would have been denied"
				  : "alert");
	add_text(out, x->rule);
	buf_add_str(out, "</code></td><td><code>");
	add_text(out, x->event);
	buf_add_str(out, "</code> ");
	add_text(out, x->message);
	buf_add_str(out, "</td><td>");
	add_text(out, x->unit[0] != '\0' ? x->unit : x->script[0] != '\0' ? x->script : x->exe);
	buf_addf(out, " [%u]</td><td><code>", x->pid);
	add_text(out, x->file);
	if (x->line > 0)
		buf_addf(out, ":%u", x->line);
	buf_add_str(out, "</code></td></tr>\n");
}

static void
add_latest(struct buf *out, const struct tally *tally)
{
	uint64_t n = tally->n_latest < TALLY_LATEST ? tally->n_latest : TALLY_LATEST;

	buf_addf(out,
		 "<h2>The latest %llu alerts</h2>\n<table><tr><th>Time</th><th>Severity</th><th>Act"
		 "</th><th>Rule</th><th>What</th><th>Who</th><th>Code</th></tr>\n",
		 (unsigned long long)n);
	for (uint64_t i = 1; i <= n; i++)
		add_incident(out, &tally->latest[(tally->n_latest - i) % TALLY_LATEST].incident);
	buf_add_str(out, "</table>\n");
}

void
report_write_html(const struct report_view *view, struct buf *out)
{
	const struct tally *tally = view->tally;

	add_head(out, view);
	if (tally->n > 0) {
		add_timeline(out, tally);
		for (unsigned i = 0; i < TALLY_N_BY; i++)
			add_table(out, &tally->by[i], i);
		add_latest(out, tally);
	} else {
		buf_add_str(out, "<p>There were no alerts.</p>\n");
	}
	buf_add_str(out, "<footer>pyauditctl report " PYAUDIT_VERSION ", ");
	add_time(out, (uint64_t)time(NULL) * 1000000000u, WITH_ZONE);
	buf_add_str(out, "</footer></body></html>\n");
}
