/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `pyauditctl replay`: what would these rules have said of what happened then? Each event is
 * judged by the evaluator that judged it in its program, and told as the daemon tells it.
 */
#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "cleanup.h"
#include "ctl.h"
#include "json.h"
#include "replay.h"
#include "replay_fired.h"
#include "report.h"
#include "secrets.h"
#include "writer.h"

static const char help[] =
	"Usage: pyauditctl replay [OPTION...] FILE\n"
	"\n"
	"Judges the events of a capture (`run --capture`, `capture`) by the rules of today: alerts\n"
	"that they would have raised, and every verdict that differs from the one recorded. Rules\n"
	"with memory go by the capture's clock, and remember nothing from before it.\n"
	"\n"
	"  --rules PATH        rules beside the shipped ones and the host's, a file or directory;\n"
	"                      may be repeated\n"
	"  --no-default-rules  leave out the shipped rules and the host's\n"
	"  --profile NAME      rules of the profile server, build, agent or audit as well\n"
	"  --observe           refuse nothing: say what would have been refused\n"
	"  --all               show every event, not alerts and differences alone\n"
	"  --check             end with 1 if a verdict differs\n"
	"  --json              the lines that a daemon with these rules would have written, one for\n"
	"                      each event that they ask for\n"
	"\n"
	"Examples:\n"
	"  pyauditctl replay shop.capture --rules new.json\n"
	"  pyauditctl replay --check --no-default-rules --rules /etc/pyaudit/rules.d shop.capture\n"
	"\n"
	"Exit status: 0 replayed; 1 a verdict differs (--check), the file is damaged or cannot be\n"
	"read; 2 mistake on the command line or in rules.\n";

struct request {
	const char **rules;
	size_t n_rules;
	const char *profile; /* or NULL */
	bool no_default_rules, observe, all, check, json, help;
	const char *file;
};

struct session {
	const struct request *request;
	struct replay replay;
	struct replay_fired fired; /* alerts of memories, then and now */
	bool tells_fired;	   /* the capture has those of then */
	struct writer writer;
	struct buf line;
	int error; /* of writing, in the middle of a memory's alerts */
	uint64_t n_alerts, n_denials, n_changed, n_cut;
};

static int
parse_options(struct request *request, int argc, char **argv)
{
	enum { RULES = 256, PROFILE, NO_DEFAULT_RULES, OBSERVE, ALL, CHECK, JSON, HELP };
	static const struct option options[] = {
		{"rules", required_argument, NULL, RULES},
		{"profile", required_argument, NULL, PROFILE},
		{"no-default-rules", no_argument, NULL, NO_DEFAULT_RULES},
		{"observe", no_argument, NULL, OBSERVE},
		{"all", no_argument, NULL, ALL},
		{"check", no_argument, NULL, CHECK},
		{"json", no_argument, NULL, JSON},
		{"help", no_argument, NULL, HELP},
		{0},
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (option) {
		case RULES:
			request->rules[request->n_rules++] = optarg;
			break;
		case PROFILE:
			if (ctl_check_profile("replay", optarg) != CTL_OK)
				return CTL_USAGE;
			request->profile = optarg;
			break;
		case NO_DEFAULT_RULES:
			request->no_default_rules = true;
			break;
		case OBSERVE:
			request->observe = true;
			break;
		case ALL:
			request->all = true;
			break;
		case CHECK:
			request->check = true;
			break;
		case JSON:
			request->json = true;
			break;
		case 'h':
		case HELP:
			request->help = true;
			(void)fputs(help, stdout);
			return CTL_OK;
		case ':':
			return ctl_usage_error("replay", "option '%s' needs a value",
					       argv[optind - 1]);
		default:
			return ctl_usage_error("replay", "unknown option '%s'", argv[optind - 1]);
		}
	}
	if (optind == argc)
		return ctl_usage_error("replay", "the capture to read is missing");
	request->file = argv[optind++];
	if (optind < argc)
		return ctl_usage_error("replay", "unexpected argument '%s'", argv[optind]);
	return CTL_OK;
}

static const char *
verdict_name(unsigned action, bool observed, char *room, size_t size)
{
	(void)snprintf(room, size, "%s%s", action_name((enum pyaudit_action)action),
		       observed ? " (observed)" : "");
	return room;
}

/* "was block by no-shell": what the capture says, where it differs. */
static void
print_difference(const struct capture_event *event)
{
	const struct pyaudit_decoded *d = event->decoded;
	char room[32];

	(void)printf("  event %llu %.*s: it was %s", (unsigned long long)event->number,
		     (int)d->event.name_len, d->event.name,
		     verdict_name(d->action, (d->flags & PYAUDIT_REC_OBSERVED) != 0, room,
				  sizeof(room)));
	for (unsigned i = 0; i < d->n_hits; i++)
		(void)printf("%s%s", i == 0 ? " by " : ", ",
			     event->policy != NULL && d->hits[i] < event->policy->n_ids
				     ? event->policy->ids[d->hits[i]]
				     : "a rule not known");
}

static void
print_new(const struct session *s, const struct pyaudit_verdict *verdict)
{
	char room[32];

	(void)printf("; now it is %s",
		     verdict_name(verdict->action, verdict->observed != 0, room, sizeof(room)));
	for (unsigned i = 0; i < verdict->n_hits; i++)
		(void)printf("%s%s", i == 0 ? " by " : ", ",
			     rules_id_at(s->replay.rules, verdict->hits[i]));
	(void)putchar('\n');
	(void)fflush(stdout);
}

static int
show(struct session *s, const struct report *report)
{
	int r;

	if (!s->request->json && !s->request->all && report->kind != REPORT_ALERT)
		return 0;
	buf_reset(&s->line);
	report_json(report, &s->line);
	if (s->line.failed)
		return -ENOMEM;
	s->line.data[s->line.len - 1] = '\0'; /* in the place of the line's end */
	r = writer_line(&s->writer, s->line.data, s->line.len - 1);
	return r == 0 && !s->request->json ? writer_flush(&s->writer) : r;
}

/* A rule with memory alerts. */
static void
take_alert(void *data, struct report *report)
{
	struct session *s = data;

	s->n_alerts++;
	if (s->error == 0)
		s->error = show(s, report);
	if (s->tells_fired)
		replay_fired_add(&s->fired, false, report->time_ns, report_rule(report)->id);
}

static int
take_event(void *data, const struct capture_event *event)
{
	struct session *s = data;
	struct report report = {
		.seq = event->number,
		.time_ns = event->decoded->time_ns,
		.process = event->process,
		.decoded = event->decoded,
		.rules = s->replay.rules,
	};
	struct pyaudit_verdict verdict;
	struct memory_hits hits;
	int r = replay_judge(&s->replay, event, &verdict);

	if (r != 0)
		return r;
	s->tells_fired = event->tells_fired;
	s->n_cut += (event->decoded->flags & PYAUDIT_REC_CUT) != 0;
	s->n_alerts += verdict.action >= PYAUDIT_ACTION_ALERT;
	s->n_denials += verdict.action >= PYAUDIT_ACTION_BLOCK;
	if (!replay_same(&s->replay, event, &verdict)) {
		s->n_changed++;
		if (!s->request->json) {
			print_difference(event);
			print_new(s, &verdict);
		}
	}
	replay_apply(event, &verdict);
	report.kind = report_kind_of(event->decoded);
	if (replay_sort(&s->replay, event, &hits))
		r = show(s, &report);
	if (r == 0)
		r = replay_remember(&s->replay, event, &report, &hits, take_alert, s);
	return r != 0 ? r : s->error;
}

static int
take_clock(void *data, uint64_t time_ns)
{
	struct session *s = data;

	replay_clock(&s->replay, time_ns, take_alert, s);
	return s->error;
}

static int
take_fired(void *data, uint64_t time_ns, const char *rule)
{
	struct session *s = data;

	replay_fired_add(&s->fired, true, time_ns, rule);
	return 0;
}

/* An alert of a memory that the capture has and replaying did not raise, or the other way round. */
static void
take_difference(void *data, const struct fired *fired)
{
	struct session *s = data;
	struct buf time;

	s->n_changed++;
	if (s->request->json)
		return;
	buf_init(&time);
	buf_add_time(&time, fired->time_ns);
	(void)printf("  event of %.*s: rule %s %s\n", (int)time.len, time.data, fired->rule,
		     fired->was ? "alerted from memory; now it does not"
				: "did not alert from memory; now it does");
	(void)fflush(stdout);
	buf_fini(&time);
}

static void
say_summary(const struct session *s, const struct capture_summary *summary)
{
	(void)fprintf(stderr,
		      "pyauditctl: %llu events, %llu alerts, %llu denied; %llu verdicts differ from "
		      "the capture\n",
		      (unsigned long long)summary->n_events, (unsigned long long)s->n_alerts,
		      (unsigned long long)s->n_denials, (unsigned long long)s->n_changed);
	if (summary->n_lost > 0)
		(void)fprintf(stderr, "pyauditctl: %llu events were lost when it was captured\n",
			      (unsigned long long)summary->n_lost);
	if (s->n_changed > 0 && s->n_cut > 0)
		(void)fprintf(stderr,
			      "pyauditctl: %llu events were too long to be captured whole\n",
			      (unsigned long long)s->n_cut);
	if (!summary->is_whole)
		(void)fprintf(stderr,
			      "pyauditctl: the capture has no end: it may be cut short\n");
}

static int
explain(const struct session *s, int r, const char *why)
{
	if (r == RULES_E_INVALID) {
		diag_print(s->replay.diag, stderr);
		return CTL_USAGE;
	}
	if (r == CAPTURE_E_INVALID)
		ctl_error("%s: %s", s->request->file, why);
	else if (r != -EPIPE)
		ctl_error("cannot replay %s: %s", s->request->file, strerror(-r));
	return r == -EPIPE ? CTL_OK : CTL_FAILED;
}

static int
replay_file(const struct request *request, const struct rule_set *rules, struct diag *diag)
{
	static const struct capture_reader reader = {
		.event = take_event,
		.clock = take_clock,
		.fired = take_fired,
	};
	CLEANUP(fclosep) FILE *in = fopen(request->file, "re");
	struct session s = {.request = request};
	struct capture_summary summary = {0};
	char why[CAPTURE_WHY_MAX];
	int r, w;

	if (in == NULL) {
		ctl_error("cannot read '%s': %s", request->file, strerror(errno));
		return CTL_FAILED;
	}
	if (replay_fired_init(&s.fired, take_difference, &s) < 0) {
		ctl_error("out of memory");
		return CTL_FAILED;
	}
	replay_init(&s.replay, rules, diag);
	buf_init(&s.line);
	if (request->json)
		writer_json_init(&s.writer, stdout);
	else
		writer_text_init(&s.writer, stdout);
	r = capture_read(in, &reader, &s, &summary, why);
	replay_fired_end(&s.fired);
	w = writer_flush(&s.writer);
	if (r == 0 && w < 0)
		r = w;
	if (r == 0 && !request->json)
		say_summary(&s, &summary);
	r = r != 0 ? explain(&s, r, why)
	    : request->check && s.n_changed > 0 ? CTL_FAILED
						: CTL_OK;
	replay_fini(&s.replay);
	replay_fired_fini(&s.fired);
	buf_fini(&s.line);
	writer_fini(&s.writer);
	return r;
}

static int
replay(const struct request *request)
{
	CLEANUP(freep) const char **paths =
		calloc(request->n_rules + CTL_DEFAULT_RULES_MAX, sizeof(*paths));
	CLEANUP(rules_freep) struct rule_set *rules = NULL;
	struct diag diag;
	size_t n = 0;
	int r;

	if (paths == NULL) {
		ctl_error("out of memory");
		return CTL_FAILED;
	}
	diag_init(&diag);
	if (!request->no_default_rules)
		n = ctl_default_rules(paths, request->profile);
	for (size_t i = 0; i < request->n_rules; i++)
		paths[n++] = request->rules[i];
	r = rules_load(&rules, paths, n, &diag);
	if (r < 0)
		ctl_error("cannot read the rules: %s", strerror(-r));
	else if (r > 0)
		diag_print(&diag, stderr);
	if (r == 0)
		pyaudit_secrets_use(rules->forms);
	r = r == 0 ? replay_file(request, rules, &diag) : CTL_USAGE;
	diag_fini(&diag);
	return r;
}

int
cmd_replay(int argc, char **argv)
{
	struct request request = {0};
	int r;

	request.rules = calloc((size_t)argc, sizeof(*request.rules));
	if (request.rules == NULL) {
		ctl_error("out of memory");
		return CTL_FAILED;
	}
	r = parse_options(&request, argc, argv);
	if (r == CTL_OK && !request.help)
		r = replay(&request);
	free(request.rules);
	return r;
}
