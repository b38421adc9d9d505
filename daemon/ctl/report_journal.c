/* SPDX-License-Identifier: Apache-2.0 */
/* The fields are those that daemon/lib/sink_journal.c writes. */
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"
#include "report_read.h"

#define FIELD_MAX 8192 /* bytes of a field that are kept */

/* In the order of enum field. */
static const char *const fields[] = {
	"MESSAGE",        "PYAUDIT_KIND",     "PYAUDIT_RULE",        "PYAUDIT_EVENT",
	"PYAUDIT_ACTION", "PYAUDIT_SEVERITY", "PYAUDIT_SCRIPT",      "PYAUDIT_EXE",
	"PYAUDIT_UNIT",   "PYAUDIT_USER",     "PYAUDIT_CALLER_FILE", "PYAUDIT_CALLER_LINE",
	"PYAUDIT_PID",    "PYAUDIT_OBSERVED", "PYAUDIT_LOST",
	"PYAUDIT_SUPPRESSED", "PYAUDIT_DENIALS",   "PYAUDIT_CALLER_PACKAGE",
};
enum field {
	MESSAGE, KIND, RULE, EVENT, ACTION, SEVERITY, SCRIPT, EXE,
	UNIT, USER, CALLER_FILE, CALLER_LINE, PID, OBSERVED, LOST, SUPPRESSED, DENIALS, CALLER_PACKAGE,
	N_FIELDS,
};

struct entry {
	char *field[N_FIELDS]; /* NULL: it has none */
	char *attack[TALLY_ATTACK_MAX];
	unsigned n_attack;
};

static void
entry_fini(struct entry *entry)
{
	for (unsigned i = 0; i < N_FIELDS; i++)
		free(entry->field[i]);
	for (unsigned i = 0; i < entry->n_attack; i++)
		free(entry->attack[i]);
	*entry = (struct entry){0};
}

static void
journal_closep(sd_journal **journal)
{
	sd_journal_close(*journal);
}

static char *
copy_value(const char *value, size_t len)
{
	return text_copy(value, len < FIELD_MAX ? len : FIELD_MAX);
}

static void
take_field(struct entry *entry, const char *data, size_t size)
{
	const char *equals = memchr(data, '=', size);
	size_t name_len = equals != NULL ? (size_t)(equals - data) : 0;

	if (equals == NULL)
		return;
	if (name_len == strlen("PYAUDIT_ATTACK") && memcmp(data, "PYAUDIT_ATTACK", name_len) == 0) {
		if (entry->n_attack < TALLY_ATTACK_MAX) {
			char *id = copy_value(equals + 1, size - name_len - 1);

			if (id != NULL)
				entry->attack[entry->n_attack++] = id;
		}
		return;
	}
	for (unsigned i = 0; i < N_FIELDS; i++)
		if (strlen(fields[i]) == name_len && memcmp(fields[i], data, name_len) == 0 &&
		    entry->field[i] == NULL)
			entry->field[i] = copy_value(equals + 1, size - name_len - 1);
}

static const char *
text_of(const struct entry *entry, enum field field)
{
	return entry->field[field] != NULL ? entry->field[field] : "";
}

static void
take_entry(struct incident *ret, const struct entry *entry, uint64_t time_us)
{
	const char *action = text_of(entry, ACTION);

	*ret = (struct incident){
		.time_ns = time_us * 1000,
		.is_loss = strcmp(text_of(entry, KIND), "loss") == 0,
		.is_summary = strcmp(text_of(entry, KIND), "summary") == 0,
		.n_suppressed = strtoull(text_of(entry, SUPPRESSED), NULL, 10),
		.n_denials = strtoull(text_of(entry, DENIALS), NULL, 10),
		.is_denied = strcmp(action, "block") == 0 || strcmp(action, "kill") == 0,
		.is_observed = strcmp(text_of(entry, OBSERVED), "1") == 0,
		.lost = strtoull(text_of(entry, LOST), NULL, 10),
		.pid = (unsigned)strtoul(text_of(entry, PID), NULL, 10),
		.line = (unsigned)strtoul(text_of(entry, CALLER_LINE), NULL, 10),
		.rule = text_of(entry, RULE),
		.event = text_of(entry, EVENT),
		.severity = text_of(entry, SEVERITY),
		.message = text_of(entry, MESSAGE),
		.script = text_of(entry, SCRIPT),
		.exe = text_of(entry, EXE),
		.unit = text_of(entry, UNIT),
		.user = text_of(entry, USER),
		.file = text_of(entry, CALLER_FILE),
		.package = text_of(entry, CALLER_PACKAGE),
		.n_attack = entry->n_attack,
	};
	for (unsigned i = 0; i < entry->n_attack; i++)
		ret->attack[i] = entry->attack[i];
}

static int
match_uid(sd_journal *journal, unsigned uid)
{
	char match[32];

	(void)snprintf(match, sizeof(match), "_UID=%u", uid);
	return sd_journal_add_match(journal, match, 0);
}

/* Alerts, summaries and losses, by whom they may come from: matches of one field are alternatives. */
static int
add_matches(sd_journal *journal)
{
	const struct passwd *user = getpwnam("pyaudit");
	int r = sd_journal_add_match(journal, "PYAUDIT_KIND=alert", 0);

	if (r >= 0)
		r = sd_journal_add_match(journal, "PYAUDIT_KIND=loss", 0);
	if (r >= 0)
		r = sd_journal_add_match(journal, "PYAUDIT_KIND=summary", 0);
	if (r >= 0)
		r = match_uid(journal, 0);
	if (r >= 0 && user != NULL)
		r = match_uid(journal, user->pw_uid);
	if (r >= 0 && geteuid() != 0)
		r = match_uid(journal, geteuid());
	return r;
}

static int
read_entry(sd_journal *journal, struct entry *entry)
{
	const void *data;
	size_t size;
	int r;

	sd_journal_restart_data(journal);
	while ((r = sd_journal_enumerate_data(journal, &data, &size)) > 0)
		take_field(entry, data, size);
	/* A field that is damaged or compressed beyond reach: the others count. */
	return r == -ENOMEM ? r : 0;
}

int
report_read_journal(struct tally *tally, const struct report_span *span, const char *directory)
{
	CLEANUP(journal_closep) sd_journal *journal = NULL;
	int r = directory != NULL ? sd_journal_open_directory(&journal, directory, 0)
				  : sd_journal_open(&journal, SD_JOURNAL_LOCAL_ONLY);

	if (r >= 0)
		r = add_matches(journal);
	if (r >= 0)
		r = sd_journal_seek_realtime_usec(journal, span->since_ns / 1000);
	if (r < 0)
		return r;
	while ((r = sd_journal_next(journal)) > 0) {
		CLEANUP(entry_fini) struct entry entry = {0};
		struct incident incident;
		uint64_t time_us;

		if (sd_journal_get_realtime_usec(journal, &time_us) < 0)
			continue;
		if (span->until_ns != 0 && time_us * 1000 >= span->until_ns)
			break;
		r = read_entry(journal, &entry);
		if (r < 0)
			return r;
		take_entry(&incident, &entry, time_us);
		if (report_in_span(span, incident.time_ns) && !tally_add(tally, &incident))
			return -ENOMEM;
	}
	return r < 0 ? r : 0;
}
