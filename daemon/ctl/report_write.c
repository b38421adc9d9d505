/* SPDX-License-Identifier: Apache-2.0 */
/* Text, CSV and JSON. */
#include "report_write.h"

#include <string.h>
#include <time.h>

#include "attack.h"
#include "ctl.h"
#include "json.h"
#include "rules.h"
#include "writer.h"

#define TEXT_ROWS 50

/* Local time to the second, or "-". */
static void
local_time(char ret[32], uint64_t time_ns)
{
	time_t seconds = (time_t)(time_ns / 1000000000u);
	struct tm tm;

	if (time_ns == 0 || localtime_r(&seconds, &tm) == NULL)
		(void)snprintf(ret, 32, "-");
	else
		(void)strftime(ret, 32, "%Y-%m-%d %H:%M:%S", &tm);
}

void
report_write_text(const struct report_view *view, FILE *out)
{
	const struct tally *tally = view->tally;
	const struct tally_table *table = &tally->by[view->by];
	const struct ctl_palette *palette = ctl_palette(out);
	char first[32], last[32];

	local_time(first, tally->first_ns);
	local_time(last, tally->last_ns);
	(void)fprintf(out, "%llu alerts: %llu denied, %llu would have been; %llu events lost\n",
		      (unsigned long long)tally->n, (unsigned long long)tally->n_denied,
		      (unsigned long long)tally->n_observed, (unsigned long long)tally->n_lost);
	if (tally->n_suppressed > 0)
		(void)fprintf(out, "%llu of the alerts were held back by limits and told in summaries\n",
			      (unsigned long long)tally->n_suppressed);
	if (tally->n == 0)
		return;
	(void)fprintf(out, "from %s to %s\n\n%s  ALERTS   DENIED  LAST                 SEVERITY  ",
		      first, last, palette->bold);
	for (const char *c = tally_name(view->by); *c != '\0'; c++)
		(void)fputc(*c - 'a' + 'A', out);
	(void)fprintf(out, "%s\n", palette->reset);
	for (size_t i = 0; i < table->n && i < TEXT_ROWS; i++) {
		const struct tally_row *row = &table->rows[i];
		const char *technique = view->by == TALLY_TECHNIQUE ? attack_name(row->name) : NULL;

		local_time(last, row->last_ns);
		(void)fprintf(out, "%8llu %8llu  %s  %-8s  ", (unsigned long long)row->n,
			      (unsigned long long)row->n_denied, last, severity_name(row->severity));
		text_print_cell(out, row->name, 0);
		if (technique != NULL)
			(void)fprintf(out, " %s", technique);
		(void)fputc('\n', out);
	}
	if (table->n > TEXT_ROWS)
		(void)fprintf(out, "and %zu more: --csv or --json has all\n", table->n - TEXT_ROWS);
}

/* RFC 4180. A spreadsheet takes what begins with = + - @ for a formula: such text gets an
 * apostrophe before it. */
static void
add_cell(struct buf *out, const char *text)
{
	buf_add_char(out, '"');
	if (text[0] != '\0' && strchr("=+-@", text[0]) != NULL && text[1] != '\0')
		buf_add_char(out, '\'');
	for (; *text != '\0'; text++) {
		if (*text == '"')
			buf_add_char(out, '"');
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			buf_addf(out, "\\x%02x", (unsigned char)*text);
		else
			buf_add_char(out, *text);
	}
	buf_add_char(out, '"');
}

void
report_write_csv(const struct report_view *view, struct buf *out)
{
	const struct tally_table *table = &view->tally->by[view->by];

	buf_addf(out, "%s,alerts,denied,observed,severity,first,last\r\n", tally_name(view->by));
	for (size_t i = 0; i < table->n; i++) {
		const struct tally_row *row = &table->rows[i];

		add_cell(out, row->name);
		buf_addf(out, ",%llu,%llu,%llu,%s,", (unsigned long long)row->n,
			 (unsigned long long)row->n_denied, (unsigned long long)row->n_observed,
			 severity_name(row->severity));
		buf_add_time(out, row->first_ns);
		buf_add_char(out, ',');
		buf_add_time(out, row->last_ns);
		buf_add_str(out, "\r\n");
	}
}

static void
add_time(struct json *json, const char *key, uint64_t time_ns)
{
	json_key(json, key);
	if (time_ns != 0)
		json_time(json, time_ns);
	else
		json_null(json);
}

static void
add_number(struct json *json, const char *key, uint64_t n)
{
	json_key(json, key);
	json_uint(json, n);
}

static void
add_table(struct json *json, const struct tally_table *table)
{
	json_array(json);
	for (size_t i = 0; i < table->n; i++) {
		const struct tally_row *row = &table->rows[i];

		json_object(json);
		json_key(json, "name");
		json_str(json, row->name);
		add_number(json, "alerts", row->n);
		add_number(json, "denied", row->n_denied);
		add_number(json, "observed", row->n_observed);
		json_key(json, "severity");
		json_str(json, severity_name(row->severity));
		add_time(json, "first", row->first_ns);
		add_time(json, "last", row->last_ns);
		json_object_end(json);
	}
	json_array_end(json);
}

void
report_write_json(const struct report_view *view, struct buf *out)
{
	const struct tally *tally = view->tally;
	struct json json = json_on(out);

	json_object(&json);
	add_time(&json, "since", view->span.since_ns);
	add_time(&json, "until", view->span.until_ns);
	add_time(&json, "first", tally->first_ns);
	add_time(&json, "last", tally->last_ns);
	add_number(&json, "alerts", tally->n);
	add_number(&json, "denied", tally->n_denied);
	add_number(&json, "observed", tally->n_observed);
	add_number(&json, "suppressed", tally->n_suppressed);
	add_number(&json, "lost", tally->n_lost);
	json_key(&json, "by");
	json_object(&json);
	for (unsigned i = 0; i < TALLY_N_BY; i++) {
		json_key(&json, tally_name(i));
		add_table(&json, &tally->by[i]);
	}
	json_object_end(&json);
	json_key(&json, "timeline");
	json_array(&json);
	for (size_t i = 0; i < TALLY_SLOTS; i++) {
		if (tally->slots[i].n == 0)
			continue;
		json_object(&json);
		add_time(&json, "time", tally->slot_start_ns + i * tally->slot_ns);
		add_number(&json, "seconds", tally->slot_ns / 1000000000u);
		add_number(&json, "alerts", tally->slots[i].n);
		add_number(&json, "denied", tally->slots[i].n_denied);
		json_object_end(&json);
	}
	json_array_end(&json);
	json_object_end(&json);
	buf_add_char(out, '\n');
}
