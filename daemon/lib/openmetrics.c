/* SPDX-License-Identifier: Apache-2.0 */
#include "openmetrics.h"

#include <assert.h>
#include <string.h>

static void
add_meta(struct openmetrics *om, const char *what, const char *text)
{
	buf_add_str(om->out, "# ");
	buf_add_str(om->out, what);
	buf_add_char(om->out, ' ');
	buf_add_str(om->out, om->family);
	buf_add_char(om->out, ' ');
	buf_add_str(om->out, text);
	buf_add_char(om->out, '\n');
}

/* pyaudit_cpu_seconds, seconds */
static inline bool
ends_with_unit(const char *family, const char *unit)
{
	size_t n = strlen(family), n_unit = strlen(unit);

	return n > n_unit && family[n - n_unit - 1] == '_' && strcmp(family + n - n_unit, unit) == 0;
}

void
openmetrics_family(struct openmetrics *om, const char *family, const char *type, const char *unit,
		   const char *help)
{
	assert(strpbrk(help, "\\\"\n") == NULL);
	assert(unit == NULL || ends_with_unit(family, unit));
	om->family = family;
	om->is_counter = strcmp(type, "counter") == 0;
	add_meta(om, "TYPE", type);
	if (unit != NULL)
		add_meta(om, "UNIT", unit);
	add_meta(om, "HELP", help);
}

void
openmetrics_sample(struct openmetrics *om)
{
	buf_add_str(om->out, om->family);
	if (om->is_counter)
		buf_add_str(om->out, "_total");
	om->has_labels = false;
}

static void
add_value(struct buf *out, const char *value)
{
	size_t left = strnlen(value, OPENMETRICS_LABEL_MAX), n;

	for (; left > 0; value += n, left -= n) {
		n = utf8_sequence(value, left);
		if (n == 0 || (unsigned char)*value < 0x20 || *value == 0x7f) {
			n = 1;
			buf_add_str(out, *value == '\n' ? "\\n" : "\xef\xbf\xbd");
		} else if (*value == '\\' || *value == '"') {
			buf_add_char(out, '\\');
			buf_add_char(out, *value);
		} else {
			buf_add(out, value, n);
		}
	}
}

void
openmetrics_label(struct openmetrics *om, const char *name, const char *value)
{
	buf_add_char(om->out, om->has_labels ? ',' : '{');
	om->has_labels = true;
	buf_add_str(om->out, name);
	buf_add_str(om->out, "=\"");
	add_value(om->out, value);
	buf_add_char(om->out, '"');
}

static void
end_labels(struct openmetrics *om)
{
	buf_add_str(om->out, om->has_labels ? "} " : " ");
}

void
openmetrics_uint(struct openmetrics *om, uint64_t value)
{
	end_labels(om);
	buf_add_uint(om->out, value);
	buf_add_char(om->out, '\n');
}

void
openmetrics_seconds(struct openmetrics *om, uint64_t ns)
{
	end_labels(om);
	buf_addf(om->out, "%llu.%06llu\n", (unsigned long long)(ns / 1000000000u),
		 (unsigned long long)(ns % 1000000000u / 1000u));
}

void
openmetrics_end(struct openmetrics *om)
{
	buf_add_str(om->out, "# EOF\n");
}
