/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `pyauditctl top`: what happens now, by process, event and rule. A client of the daemon's live
 * stream that counts; once an interval it draws a whole screen by one write. Signals only set flags,
 * and the terminal is left as it was found however the program ends, but by SIGKILL.
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "client.h"
#include "ctl.h"
#include "json.h"
#include "rates.h"
#include "writer.h"

#define LINES_PER_TURN 500
#define INTERVAL_MIN_MS 100
#define INTERVAL_MAX_MS 60000
#define ONCE_ROWS 10
#define JSON_ROWS 100

static const char help[] =
	"Usage: pyauditctl top [OPTION...] [FILTER]\n"
	"\n"
	"Shows how often things happen now, by process, event and rule: of all that is recorded, or of\n"
	"what FILTER, a condition as in rules, holds for. q ends it.\n"
	"\n"
	"  --interval TIME  of each count: 100ms to 1m (default: 1s)\n"
	"  --once           one interval as text, then end\n"
	"  --json           one line of JSON for each interval\n"
	"  --dir DIR        the daemon's runtime directory (default: PYAUDIT_DIR or /run/pyaudit)\n"
	"\n"
	"Examples:\n"
	"  pyauditctl top\n"
	"  pyauditctl top --once --interval 10s 'class = exec'\n"
	"  pyauditctl top --json | jq -c '{time, events, denied}'\n"
	"\n"
	"Exit status: 0; 1 if the daemon cannot be asked or has gone, 2 mistake on the command line or in\n"
	"FILTER.\n";

enum by { BY_PROCESS, BY_EVENT, BY_RULE, N_BY };

struct top {
	const char *filter, *dir;
	uint64_t interval_ms;
	bool once, json, help;
	struct client client;
	struct rates by[N_BY];
	uint64_t n, n_alerts, n_denied, n_lost; /* of this interval */
	uint64_t started_ms;
	bool on_screen;
	struct termios before;
};

static volatile sig_atomic_t ended, stopped, resized;

static void
on_signal(int number)
{
	if (number == SIGWINCH)
		resized = 1;
	else if (number == SIGTSTP)
		stopped = 1;
	else
		ended = 1;
}

static uint64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static int
parse_options(struct top *top, int argc, char **argv)
{
	enum { INTERVAL = 256, ONCE, JSON, DIRECTORY, HELP };
	static const struct option options[] = {
		{"interval", required_argument, NULL, INTERVAL},
		{"once", no_argument, NULL, ONCE},
		{"json", no_argument, NULL, JSON},
		{"dir", required_argument, NULL, DIRECTORY},
		{"help", no_argument, NULL, HELP},
		{0},
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (option) {
		case INTERVAL:
			if (!ctl_duration(optarg, &top->interval_ms) ||
			    top->interval_ms < INTERVAL_MIN_MS || top->interval_ms > INTERVAL_MAX_MS)
				return ctl_usage_error("top", "--interval: '%s' is not between 100ms and 1m",
						       optarg);
			break;
		case ONCE:
			top->once = true;
			break;
		case JSON:
			top->json = true;
			break;
		case DIRECTORY:
			top->dir = optarg;
			break;
		case 'h':
		case HELP:
			top->help = true;
			(void)fputs(help, stdout);
			return CTL_OK;
		case ':':
			return ctl_usage_error("top", "option '%s' needs a value", argv[optind - 1]);
		default:
			return ctl_usage_error("top", "unknown option '%s'", argv[optind - 1]);
		}
	}
	if (optind < argc)
		top->filter = argv[optind++];
	if (optind < argc)
		return ctl_usage_error("top", "unexpected argument '%s': quote the filter as one word",
				       argv[optind]);
	if (!top->once && !top->json && (isatty(STDOUT_FILENO) != 1 || isatty(STDIN_FILENO) != 1))
		return ctl_usage_error("top", "this is no terminal: use --once or --json");
	top->dir = client_directory(top->dir);
	return CTL_OK;
}

/* The terminal */

static void
write_out(const char *bytes, size_t len)
{
	(void)fflush(stdout);
	(void)writer_write_all(STDOUT_FILENO, bytes, len);
}

static void
enter_screen(struct top *top)
{
	static const char enter[] = "\x1b[?1049h\x1b[?25l"; /* the other screen, no cursor */
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &top->before) < 0)
		return;
	raw = top->before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	write_out(enter, sizeof(enter) - 1);
	top->on_screen = true;
}

static void
leave_screen(struct top *top)
{
	static const char leave[] = "\x1b[?25h\x1b[?1049l";

	if (!top->on_screen)
		return;
	write_out(leave, sizeof(leave) - 1);
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &top->before);
	top->on_screen = false;
}

static void
catch_signals(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH};
	struct sigaction action = {.sa_handler = on_signal};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		(void)sigaction(numbers[i], &action, NULL);
}

/* ^Z: the shell gets its screen back, and we ours afterwards. */
static void
stop_here(struct top *top)
{
	stopped = 0;
	leave_screen(top);
	(void)kill(getpid(), SIGSTOP);
	enter_screen(top);
}

/* Counting */

static const char *
text_of(const cJSON *object, const char *name)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));

	return text != NULL ? text : "";
}

static double
number_of(const cJSON *object, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	return cJSON_IsNumber(item) && item->valuedouble > 0 && item->valuedouble < 9e15
		       ? item->valuedouble
		       : 0;
}

static void
count_line(struct top *top, const char *line, size_t len)
{
	CLEANUP(json_freep) cJSON *event = cJSON_ParseWithLength(line, len);
	const char *kind = text_of(event, "kind"), *action = text_of(event, "action"), *name;
	bool is_alert = strcmp(kind, "alert") == 0, is_denied;

	if (strcmp(kind, "loss") == 0)
		top->n_lost += (uint64_t)number_of(event, "lost");
	if (!is_alert && strcmp(kind, "event") != 0)
		return;
	is_denied = strcmp(action, "block") == 0 || strcmp(action, "kill") == 0;
	top->n++;
	top->n_alerts += is_alert;
	top->n_denied += is_denied;
	name = text_of(event, "script");
	if (name[0] == '\0' || strcmp(name, "-c") == 0)
		name = text_of(event, "exe");
	rates_add(&top->by[BY_PROCESS], name, (unsigned)number_of(event, "pid"), text_of(event, "unit"),
		  is_denied);
	rates_add(&top->by[BY_EVENT], text_of(event, "event"), 0, "", is_denied);
	if (text_of(event, "rule")[0] != '\0')
		rates_add(&top->by[BY_RULE], text_of(event, "rule"), 0, "", is_denied);
}

/* 1: there may be more; 0: not now; -ECONNRESET: the daemon has gone; another negative errno. */
static int
read_lines(struct top *top)
{
	for (unsigned i = 0; i < LINES_PER_TURN; i++) {
		size_t len;
		char *line;
		int r = client_line(&top->client, &line, &len, 0);

		if (r == -EAGAIN)
			return 0;
		if (r != 1)
			return r == 0 ? -ECONNRESET : r;
		count_line(top, line, len);
	}
	return 1;
}

/* Showing */

static void
show_table(FILE *out, const struct rates *rates, enum by by, unsigned rows, unsigned columns,
	   double seconds)
{
	static const char *const titles[N_BY] = {"PROCESS", "EVENT", "RULE"};
	const struct ctl_palette *palette = ctl_palette(stdout);
	unsigned width = columns > 40 ? columns - 36 : 0;

	(void)fprintf(out, "%s     PER S    DENIED     TOTAL  %s%s\n", palette->bold, titles[by],
		      palette->reset);
	for (size_t i = 0; i < rates->n && i < rows; i++) {
		const struct rate *rate = &rates->rate[i];
		char *name = NULL;

		if (by == BY_PROCESS &&
		    asprintf(&name, "%u %s%s%s", rate->pid, rate->name,
			     rate->place[0] != '\0' ? "  " : "", rate->place) < 0)
			name = NULL;
		(void)fprintf(out, "%10.1f %s%9.1f%s %9llu  ", (double)rate->n / seconds,
			      rate->n_denied > 0 ? palette->red : "",
			      (double)rate->n_denied / seconds,
			      rate->n_denied > 0 ? palette->reset : "",
			      (unsigned long long)rate->total);
		text_print_cell(out, name != NULL ? name : rate->name, width);
		(void)fputc('\n', out);
		free(name);
	}
}

static void
show_text(const struct top *top, FILE *out, unsigned rows, unsigned columns, double seconds)
{
	char clock[16];
	time_t now = time(NULL);
	struct tm tm;

	(void)strftime(clock, sizeof(clock), "%H:%M:%S", localtime_r(&now, &tm));
	(void)fprintf(out, "%s  %.1f events/s, %.1f alerts/s, %.1f denied/s, %llu lost\n", clock,
		      (double)top->n / seconds, (double)top->n_alerts / seconds,
		      (double)top->n_denied / seconds, (unsigned long long)top->n_lost);
	for (unsigned i = 0; i < N_BY; i++)
		show_table(out, &top->by[i], i, rows, columns, seconds);
}

/* A whole screen: each line clears what stood behind it, the last one what stands below. */
static void
show_screen(const struct top *top, double seconds)
{
	CLEANUP(freep) char *text = NULL;
	struct winsize size = {.ws_row = 24, .ws_col = 80};
	struct buf frame;
	size_t len = 0;
	FILE *out;
	unsigned rows = 1, n = 0;

	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	if (size.ws_row > 4 + N_BY)
		rows = (size.ws_row - 2u - N_BY) / N_BY;
	out = open_memstream(&text, &len);
	if (out == NULL)
		return;
	show_text(top, out, rows, size.ws_col, seconds);
	if (fclose(out) != 0)
		return;
	buf_init(&frame);
	buf_add_str(&frame, "\x1b[H");
	for (const char *line = text; line < text + len && n < size.ws_row; n++) {
		const char *end = memchr(line, '\n', (size_t)(text + len - line));

		buf_add_str(&frame, n > 0 ? "\r\n" : "");
		buf_add(&frame, line, (size_t)(end - line));
		buf_add_str(&frame, "\x1b[K");
		line = end + 1;
	}
	buf_add_str(&frame, "\x1b[J");
	if (!frame.failed)
		write_out(frame.data, frame.len);
	buf_fini(&frame);
}

static void
add_rates(struct json *json, const char *key, const struct rates *rates, bool is_process)
{
	json_key(json, key);
	json_array(json);
	for (size_t i = 0; i < rates->n && i < JSON_ROWS && rates->rate[i].n > 0; i++) {
		const struct rate *rate = &rates->rate[i];

		json_object(json);
		json_key(json, "name");
		json_str(json, rate->name);
		if (is_process) {
			json_key(json, "pid");
			json_uint(json, rate->pid);
			json_key(json, "unit");
			json_str(json, rate->place[0] != '\0' ? rate->place : NULL);
		}
		json_key(json, "n");
		json_uint(json, rate->n);
		json_key(json, "denied");
		json_uint(json, rate->n_denied);
		json_key(json, "total");
		json_uint(json, rate->total);
		json_object_end(json);
	}
	json_array_end(json);
}

static void
show_json(const struct top *top, double seconds)
{
	struct timespec now;
	struct buf line;
	struct json json;

	buf_init(&line);
	json = json_on(&line);
	(void)clock_gettime(CLOCK_REALTIME, &now);
	json_object(&json);
	json_key(&json, "time");
	json_time(&json, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
	json_key(&json, "seconds");
	json_double(&json, seconds);
	json_key(&json, "events");
	json_uint(&json, top->n);
	json_key(&json, "alerts");
	json_uint(&json, top->n_alerts);
	json_key(&json, "denied");
	json_uint(&json, top->n_denied);
	json_key(&json, "lost");
	json_uint(&json, top->n_lost);
	add_rates(&json, "by_process", &top->by[BY_PROCESS], true);
	add_rates(&json, "by_event", &top->by[BY_EVENT], false);
	add_rates(&json, "by_rule", &top->by[BY_RULE], false);
	json_object_end(&json);
	buf_add_char(&line, '\n');
	if (!line.failed && writer_write_all(STDOUT_FILENO, line.data, line.len) < 0)
		ended = 1; /* its reader has gone */
	buf_fini(&line);
}

static void
show(struct top *top)
{
	double seconds = (double)(now_ms() - top->started_ms) / 1000;

	if (seconds < 0.001)
		seconds = 0.001;
	for (unsigned i = 0; i < N_BY; i++)
		rates_sort(&top->by[i]);
	if (top->json)
		show_json(top, seconds);
	else if (top->once)
		show_text(top, stdout, ONCE_ROWS, 0, seconds);
	else
		show_screen(top, seconds);
}

static void
begin_interval(struct top *top)
{
	for (unsigned i = 0; i < N_BY; i++)
		rates_next(&top->by[i]);
	top->n = top->n_alerts = top->n_denied = top->n_lost = 0;
	top->started_ms = now_ms();
}

static void
read_keys(void)
{
	char keys[64];
	ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

	if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
		ended = 1;
	for (ssize_t i = 0; i < n; i++)
		if (keys[i] == 'q' || keys[i] == 'Q')
			ended = 1;
}

/* One interval. 0 or a negative errno. */
static int
run_interval(struct top *top)
{
	uint64_t end = top->started_ms + top->interval_ms;
	int r = 0;

	while (!ended && r >= 0) {
		struct pollfd fds[2] = {{.fd = top->client.fd, .events = POLLIN},
					{.fd = top->on_screen ? STDIN_FILENO : -1, .events = POLLIN}};
		uint64_t now = now_ms();

		if (now >= end)
			return 0;
		if (stopped)
			stop_here(top);
		if (resized && top->on_screen)
			show(top);
		resized = 0;
		(void)poll(fds, 2, r == 1 ? 0 : (int)(end - now));
		if (fds[1].revents != 0)
			read_keys();
		r = read_lines(top);
	}
	return r < 0 ? r : 0;
}

static int
subscribe(struct top *top)
{
	CLEANUP(json_freep) cJSON *request = cJSON_CreateObject();
	CLEANUP(json_freep) cJSON *answer = NULL;
	int r = -ENOMEM;

	if (cJSON_AddStringToObject(request, "request", "tail") != NULL &&
	    (top->filter == NULL ||
	     cJSON_AddStringToObject(request, "filter", top->filter) != NULL))
		r = client_open(&top->client, top->dir);
	if (r == 0)
		r = client_request(&top->client, request, &answer, NULL);
	if (r < 0) {
		client_explain(top->dir, r);
		return CTL_FAILED;
	}
	return client_accepted(answer) ? CTL_OK : CTL_USAGE;
}

static int
run(struct top *top)
{
	int r = 0;

	catch_signals();
	if (!top->once && !top->json)
		enter_screen(top);
	begin_interval(top);
	if (top->on_screen)
		show(top);
	do {
		r = run_interval(top);
		if (r == 0 && !ended)
			show(top);
		begin_interval(top);
	} while (r == 0 && !ended && !top->once);
	leave_screen(top);
	if (r < 0)
		ctl_error("%s", r == -ECONNRESET ? "the daemon has gone" : strerror(-r));
	return r < 0 ? CTL_FAILED : CTL_OK;
}

int
cmd_top(int argc, char **argv)
{
	struct top top = {.client = CLIENT_INIT, .interval_ms = 1000};
	int r = parse_options(&top, argc, argv);
	bool fits = true;

	if (r != CTL_OK || top.help)
		return r;
	for (unsigned i = 0; i < N_BY; i++)
		fits &= rates_init(&top.by[i]);
	if (!fits) {
		ctl_error("%s", strerror(ENOMEM));
		r = CTL_FAILED;
	} else {
		r = subscribe(&top);
	}
	if (r == CTL_OK)
		r = run(&top);
	client_close(&top.client);
	for (unsigned i = 0; i < N_BY; i++)
		rates_fini(&top.by[i]);
	return r;
}
