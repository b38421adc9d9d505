/* SPDX-License-Identifier: Apache-2.0 */
/* `pyauditctl report`: what was denied and alerted, counted; from the journal or a file. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "ctl.h"
#include "report_read.h"
#include "report_write.h"
#include "request.h"

static const char help[] =
	"Usage: pyauditctl report [OPTION...]\n"
	"\n"
	"Counts the alerts and denials in the journal, by what they have in common.\n"
	"\n"
	"  --since TIME       from then on: 30m, 2h, 1d ago, HH:MM of today, YYYY-MM-DD[ HH:MM[:SS]] or\n"
	"                     2026-11-22T14:00:00Z (default: all there is)\n"
	"  --until TIME       up to then\n"
	"  --by WHAT          rule (default), script, unit, package, user or technique\n"
	"  --json             everything as one line of JSON\n"
	"  --csv              the table as CSV\n"
	"  --html             one page with a timeline and all tables, which needs nothing else\n"
	"  --file FILE        JSON lines of the NDJSON sink in the place of the journal; - is standard\n"
	"                     input\n"
	"  --directory DIR    journal files in DIR, such as those of a central host\n"
	"\n"
	"Examples:\n"
	"  pyauditctl report --since 1d\n"
	"  pyauditctl report --since 7d --by unit --csv > week.csv\n"
	"  pyauditctl report --html > report.html\n"
	"\n"
	"Exit status: 0, 1 if it cannot be read, 2 mistake on the command line.\n";

enum form { FORM_TEXT, FORM_JSON, FORM_CSV, FORM_HTML };

struct report_command {
	struct report_view view;
	enum form form;
	unsigned n_forms;
	const char *file, *directory;
	bool help;
};

static int
take_time(const char *name, const char *text, uint64_t *ret_ns)
{
	char time[CTL_TIME_SIZE];

	if (!ctl_since(time, text) || time_parse(ret_ns, time) < 0)
		return ctl_usage_error("report", "--%s: '%s' is no time", name, text);
	return CTL_OK;
}

static int
take_by(struct report_command *command, const char *name)
{
	int by = tally_by_name(name);

	if (by < 0)
		return ctl_usage_error("report", "--by: '%s' is none of rule, script, unit, package, "
						 "user and technique",
				       name);
	command->view.by = (enum tally_by)by;
	return CTL_OK;
}

static int
parse_options(struct report_command *command, int argc, char **argv)
{
	enum { SINCE = 256, UNTIL, BY, JSON, CSV, HTML, FILE_, DIRECTORY, HELP };
	static const struct option options[] = {
		{"since", required_argument, NULL, SINCE}, {"until", required_argument, NULL, UNTIL},
		{"by", required_argument, NULL, BY},       {"json", no_argument, NULL, JSON},
		{"csv", no_argument, NULL, CSV},           {"html", no_argument, NULL, HTML},
		{"file", required_argument, NULL, FILE_},  {"directory", required_argument, NULL, DIRECTORY},
		{"help", no_argument, NULL, HELP},         {0},
	};
	int option, r = CTL_OK;

	opterr = 0;
	while (r == CTL_OK && (option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (option) {
		case SINCE:
			r = take_time("since", optarg, &command->view.span.since_ns);
			break;
		case UNTIL:
			r = take_time("until", optarg, &command->view.span.until_ns);
			break;
		case BY:
			r = take_by(command, optarg);
			break;
		case JSON:
		case CSV:
		case HTML:
			command->form = option == JSON ? FORM_JSON : option == CSV ? FORM_CSV : FORM_HTML;
			command->n_forms++;
			break;
		case FILE_:
			command->file = optarg;
			break;
		case DIRECTORY:
			command->directory = optarg;
			break;
		case 'h':
		case HELP:
			command->help = true;
			(void)fputs(help, stdout);
			return CTL_OK;
		case ':':
			return ctl_usage_error("report", "option '%s' needs a value", argv[optind - 1]);
		default:
			return ctl_usage_error("report", "unknown option '%s'", argv[optind - 1]);
		}
	}
	if (r == CTL_OK && optind < argc)
		return ctl_usage_error("report", "unexpected argument '%s'", argv[optind]);
	if (r == CTL_OK && command->n_forms > 1)
		return ctl_usage_error("report", "one of --json, --csv and --html");
	if (r == CTL_OK && command->file != NULL && command->directory != NULL)
		return ctl_usage_error("report", "--file and --directory are two sources");
	return r;
}

static int
read_file(struct tally *tally, const struct report_command *command)
{
	CLEANUP(fclosep) FILE *opened = NULL;
	uint64_t n_strange;
	int r;

	if (strcmp(command->file, "-") != 0) {
		opened = fopen(command->file, "re");
		if (opened == NULL) {
			ctl_error("%s: %s", command->file, strerror(errno));
			return CTL_FAILED;
		}
	}
	r = report_read_file(tally, &command->view.span, opened != NULL ? opened : stdin, &n_strange);
	if (r < 0) {
		ctl_error("%s: %s", command->file, strerror(-r));
		return CTL_FAILED;
	}
	if (n_strange > 0)
		(void)fprintf(stderr, "pyauditctl: %s: %llu lines are no events\n", command->file,
			      (unsigned long long)n_strange);
	return CTL_OK;
}

static int
read_journal(struct tally *tally, const struct report_command *command)
{
	int r = report_read_journal(tally, &command->view.span, command->directory);

	if (r == -EOPNOTSUPP)
		ctl_error("this pyauditctl was built without the journal: use --file");
	else if (r < 0)
		ctl_error("%s: %s", command->directory != NULL ? command->directory : "the journal",
			  strerror(-r));
	return r < 0 ? CTL_FAILED : CTL_OK;
}

static int
write_report(const struct report_command *command)
{
	struct buf out;
	int r = CTL_OK;

	if (command->form == FORM_TEXT) {
		report_write_text(&command->view, stdout);
		return CTL_OK;
	}
	buf_init(&out);
	if (command->form == FORM_JSON)
		report_write_json(&command->view, &out);
	else if (command->form == FORM_CSV)
		report_write_csv(&command->view, &out);
	else
		report_write_html(&command->view, &out);
	if (out.failed) {
		ctl_error("%s", strerror(ENOMEM));
		r = CTL_FAILED;
	} else {
		(void)fwrite(out.data, 1, out.len, stdout);
	}
	buf_fini(&out);
	return r;
}

int
cmd_report(int argc, char **argv)
{
	struct report_command command = {.view = {.source = "the journal"}};
	struct tally *tally;
	int r = parse_options(&command, argc, argv);

	if (r != CTL_OK || command.help)
		return r;
	tally = tally_new();
	if (tally == NULL) {
		ctl_error("%s", strerror(ENOMEM));
		return CTL_FAILED;
	}
	if (command.file != NULL || command.directory != NULL)
		command.view.source = command.file != NULL ? command.file : command.directory;
	command.view.tally = tally;
	r = command.file != NULL ? read_file(tally, &command) : read_journal(tally, &command);
	tally_sort(tally);
	if (r == CTL_OK)
		r = write_report(&command);
	tally_free(tally);
	return r;
}
