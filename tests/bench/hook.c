/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the agent is measured against: an audit hook that does nothing, or (BENCH_SEND) one that
 * sends every event, its name and its text arguments, by one send() to the socket that BENCH_SOCKET
 * names. No Python headers, like the agent. BENCH_BARE makes it a library without anything in it,
 * which is what being preloaded costs a program whatever is preloaded.
 */
#ifdef BENCH_BARE
int bench_bare;
#else
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

typedef struct _object PyObject;
typedef int hook_fn(const char *event, PyObject *args, void *data);

#ifdef BENCH_SEND
static intptr_t (*tuple_size)(PyObject *);
static PyObject *(*tuple_get)(PyObject *, intptr_t);
static const char *(*text_of)(PyObject *, intptr_t *);
static void (*clear)(void);
static int peer = -1;

static int
hook(const char *event, PyObject *args, void *data)
{
	char packet[1024];
	size_t len = strlen(event) + 1;
	intptr_t n_args;

	(void)data;
	if (peer < 0 || len > 256)
		return 0;
	memcpy(packet, event, len);
	n_args = tuple_size(args);
	for (intptr_t i = 0; i < n_args && i < 8; i++) {
		intptr_t size;
		const char *text = text_of(tuple_get(args, i), &size);

		if (text == NULL) {
			clear();
			continue;
		}
		if (len + (size_t)size + 1 > sizeof(packet))
			break;
		memcpy(packet + len, text, (size_t)size + 1);
		len += (size_t)size + 1;
	}
	(void)send(peer, packet, len, MSG_NOSIGNAL);
	return 0;
}

static void
prepare(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = getenv("BENCH_SOCKET");

	if (path == NULL || strlen(path) >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, strlen(path) + 1);
	*(void **)&tuple_size = dlsym(RTLD_DEFAULT, "PyTuple_Size");
	*(void **)&tuple_get = dlsym(RTLD_DEFAULT, "PyTuple_GetItem");
	*(void **)&text_of = dlsym(RTLD_DEFAULT, "PyUnicode_AsUTF8AndSize");
	*(void **)&clear = dlsym(RTLD_DEFAULT, "PyErr_Clear");
	peer = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (peer >= 0 && connect(peer, (struct sockaddr *)&address, sizeof(address)) < 0)
		peer = -1;
}
#else
static int
hook(const char *event, PyObject *args, void *data)
{
	(void)event;
	(void)args;
	(void)data;
	return 0;
}

static void
prepare(void)
{
}
#endif

__attribute__((constructor)) static void
attach(void)
{
	int (*add)(hook_fn *, void *);

	*(void **)&add = dlsym(RTLD_DEFAULT, "PySys_AddAuditHook");
	if (add == NULL)
		return;
	prepare();
	(void)add(hook, NULL);
}
#endif
