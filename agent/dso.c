/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the compiler's start files would bring. They look up four symbols in every program that inherits the preload, to
 * run destructors when the library is unloaded, which it never is.
 */

/* How libc's static part (pthread_atfork) names this library. */
extern void *__dso_handle __attribute__((visibility("hidden")));
void *__dso_handle = &__dso_handle;
