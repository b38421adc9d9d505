/* SPDX-License-Identifier: Apache-2.0 */
#include "tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "report.h"
#include "rules.h"

static const char *const names[TALLY_N_BY] = {
	[TALLY_RULE] = "rule",       [TALLY_SCRIPT] = "script", [TALLY_UNIT] = "unit",
	[TALLY_PACKAGE] = "package", [TALLY_USER] = "user",     [TALLY_TECHNIQUE] = "technique",
};

const char *
tally_name(enum tally_by by)
{
	return names[by];
}

int
tally_by_name(const char *name)
{
	for (int i = 0; i < TALLY_N_BY; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return -1;
}

unsigned
tally_severity(const char *name)
{
	for (unsigned i = 0; i <= PYAUDIT_SEV_CRITICAL; i++)
		if (strcmp(severity_name(i), name) == 0)
			return i;
	return PYAUDIT_SEV_INFO;
}

const char *
tally_package(const char *file, size_t *ret_len)
{
	static const char *const dirs[] = {"/site-packages/", "/dist-packages/"};

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		const char *at = strstr(file, dirs[i]);
		size_t len;

		if (at == NULL)
			continue;
		at += strlen(dirs[i]);
		len = strcspn(at, "/");
		if (at[len] == '\0' && len > 3 && strcmp(at + len - 3, ".py") == 0)
			len -= 3; /* a module that stands alone */
		*ret_len = len;
		return len > 0 ? at : NULL;
	}
	return NULL;
}

struct tally *
tally_new(void)
{
	struct tally *tally = calloc(1, sizeof(*tally));

	for (int i = 0; tally != NULL && i < TALLY_N_BY; i++) {
		tally->by[i].rows = calloc(TALLY_ROWS_MAX + 1, sizeof(tally->by[i].rows[0]));
		if (tally->by[i].rows == NULL) {
			tally_free(tally);
			return NULL;
		}
	}
	return tally;
}

void
tally_free(struct tally *tally)
{
	if (tally == NULL)
		return;
	for (int i = 0; i < TALLY_N_BY; i++) {
		for (size_t k = 0; k < tally->by[i].n; k++)
			free(tally->by[i].rows[k].name);
		free(tally->by[i].rows);
	}
	for (size_t i = 0; i < TALLY_LATEST; i++)
		free(tally->latest[i].text);
	free(tally);
}

static size_t
hash(const char *name, size_t len)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)name[i]) * UINT64_C(0x100000001b3);
	return (size_t)(h % TALLY_ROWS_MAX);
}

static struct tally_row *
find_row(struct tally_table *table, const char *name, size_t len)
{
	struct tally_row **bucket = &table->buckets[hash(name, len)];
	struct tally_row *row;

	for (row = *bucket; row != NULL; row = row->next)
		if (strncmp(row->name, name, len) == 0 && row->name[len] == '\0')
			return row;
	if (table->n >= TALLY_ROWS_MAX) { /* all others */
		row = &table->rows[TALLY_ROWS_MAX];
		if (table->n == TALLY_ROWS_MAX) {
			row->name = strdup("(others)");
			table->n += row->name != NULL;
		}
		return row->name != NULL ? row : NULL;
	}
	row = &table->rows[table->n];
	row->name = text_copy(name, len);
	if (row->name == NULL)
		return NULL;
	table->n++;
	row->next = *bucket;
	*bucket = row;
	return row;
}

/* How many alerts an incident stands for. */
static uint64_t
n_of(const struct incident *x)
{
	return x->is_summary ? x->n_suppressed : 1;
}

static uint64_t
n_denied_of(const struct incident *x)
{
	return x->is_summary ? x->n_denials : x->is_denied;
}

static bool
count(struct tally *tally, enum tally_by by, const char *name, size_t len, const struct incident *x)
{
	struct tally_row *row = len > 0 ? find_row(&tally->by[by], name, len)
					: find_row(&tally->by[by], "-", 1);
	unsigned severity = tally_severity(x->severity);

	if (row == NULL)
		return false;
	row->n += n_of(x);
	row->n_denied += n_denied_of(x);
	row->n_observed += x->is_observed;
	if (row->first_ns == 0 || x->time_ns < row->first_ns)
		row->first_ns = x->time_ns;
	if (x->time_ns > row->last_ns)
		row->last_ns = x->time_ns;
	if (severity > row->severity)
		row->severity = severity;
	return true;
}

/* Makes the slots twice as wide: what is there takes half of them, and one more. */
static void
widen(struct tally *tally)
{
	struct tally_slot old[TALLY_SLOTS];
	uint64_t old_start = tally->slot_start_ns, old_ns = tally->slot_ns;

	memcpy(old, tally->slots, sizeof(old));
	memset(tally->slots, 0, sizeof(tally->slots));
	tally->slot_ns = old_ns * 2;
	tally->slot_start_ns = old_start / tally->slot_ns * tally->slot_ns;
	for (size_t i = 0; i < TALLY_SLOTS; i++) {
		uint64_t at = (old_start + i * old_ns - tally->slot_start_ns) / tally->slot_ns;

		tally->slots[at].n += old[i].n;
		tally->slots[at].n_denied += old[i].n_denied;
	}
}

static uint64_t
last_used(const struct tally *tally)
{
	uint64_t last = 0;

	for (size_t i = 0; i < TALLY_SLOTS; i++)
		if (tally->slots[i].n > 0)
			last = i;
	return tally->slot_start_ns + (last + 1) * tally->slot_ns;
}

/* Whether slots of this width that begin at @start_ns reach @end_ns. */
static bool
reaches(uint64_t start_ns, uint64_t width_ns, uint64_t end_ns)
{
	return end_ns <= start_ns || (end_ns - start_ns) / width_ns < TALLY_SLOTS;
}

static void
count_in_time(struct tally *tally, const struct incident *x)
{
	uint64_t at;

	if (tally->slot_ns == 0) {
		tally->slot_ns = 1000000000;
		tally->slot_start_ns = x->time_ns / tally->slot_ns * tally->slot_ns;
	}
	for (;;) {
		uint64_t start = x->time_ns < tally->slot_start_ns
					 ? x->time_ns / tally->slot_ns * tally->slot_ns
					 : tally->slot_start_ns;
		uint64_t end = last_used(tally);

		end = x->time_ns > end ? x->time_ns : end;
		if (start == tally->slot_start_ns && reaches(start, tally->slot_ns, x->time_ns))
			break;
		if (start < tally->slot_start_ns && reaches(start, tally->slot_ns, end)) {
			size_t shift = (size_t)((tally->slot_start_ns - start) / tally->slot_ns);

			memmove(tally->slots + shift, tally->slots,
				(TALLY_SLOTS - shift) * sizeof(tally->slots[0]));
			memset(tally->slots, 0, shift * sizeof(tally->slots[0]));
			tally->slot_start_ns = start;
			break;
		}
		widen(tally);
	}
	at = (x->time_ns - tally->slot_start_ns) / tally->slot_ns;
	tally->slots[at].n += n_of(x);
	tally->slots[at].n_denied += n_denied_of(x);
}

/* Copies the texts of an entry into one block. */
static bool
keep(struct tally *tally, const struct incident *x)
{
	struct tally_entry *entry = &tally->latest[tally->n_latest % TALLY_LATEST];
	const char **texts[] = {&entry->incident.rule,   &entry->incident.event,
				&entry->incident.severity, &entry->incident.message,
				&entry->incident.script, &entry->incident.exe,
				&entry->incident.unit,   &entry->incident.user,
				&entry->incident.file,   &entry->incident.package};
	size_t size = 0;
	char *at;

	free(entry->text);
	*entry = (struct tally_entry){.incident = *x};
	entry->incident.n_attack = 0;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		size += strlen(*texts[i]) + 1;
	entry->text = at = malloc(size);
	if (at == NULL)
		return false;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		size_t len = strlen(*texts[i]) + 1;

		memcpy(at, *texts[i], len);
		*texts[i] = at;
		at += len;
	}
	tally->n_latest++;
	return true;
}

bool
tally_add(struct tally *tally, const struct incident *x)
{
	const char *package, *script = x->script;
	size_t package_len = 0;
	bool counted = true;

	if (tally->first_ns == 0 || x->time_ns < tally->first_ns)
		tally->first_ns = x->time_ns;
	if (x->time_ns > tally->last_ns)
		tally->last_ns = x->time_ns;
	if (x->is_loss) {
		tally->n_lost += x->lost;
		return true;
	}
	if (script[0] == '\0' || strcmp(script, "-c") == 0)
		script = x->exe;
	package = x->package;
	package_len = strlen(package);
	if (package_len == 0)
		package = tally_package(x->file, &package_len);
	tally->n += n_of(x);
	tally->n_denied += n_denied_of(x);
	tally->n_suppressed += x->is_summary ? x->n_suppressed : 0;
	tally->n_observed += x->is_observed;
	count_in_time(tally, x);
	counted &= count(tally, TALLY_RULE, x->rule, strlen(x->rule), x);
	counted &= count(tally, TALLY_SCRIPT, script, strlen(script), x);
	counted &= count(tally, TALLY_UNIT, x->unit, strlen(x->unit), x);
	counted &= count(tally, TALLY_PACKAGE, package, package_len, x);
	counted &= count(tally, TALLY_USER, x->user, strlen(x->user), x);
	for (unsigned i = 0; i < x->n_attack; i++)
		counted &= count(tally, TALLY_TECHNIQUE, x->attack[i], strlen(x->attack[i]), x);
	return counted && keep(tally, x);
}

static int
by_number(const void *a, const void *b)
{
	const struct tally_row *x = a, *y = b;

	if (x->n != y->n)
		return x->n > y->n ? -1 : 1;
	return strcmp(x->name, y->name);
}

void
tally_sort(struct tally *tally)
{
	for (int i = 0; i < TALLY_N_BY; i++) {
		struct tally_table *table = &tally->by[i];

		if (table->n > 0)
			qsort(table->rows, table->n, sizeof(table->rows[0]), by_number);
		memset(table->buckets, 0, sizeof(table->buckets)); /* rows have moved */
	}
}
