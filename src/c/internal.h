/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the C files use of each other: not bound to Rust.
 */
#ifndef VIGIL_INTERNAL_H
#define VIGIL_INTERNAL_H

struct pt_regs;

/*
 * Each makes one static call lead to @entry, the address of the function that
 * the call was declared for.
 *
 * Context: may sleep; before the first call through it.
 */
void vigil_bind_sys_info(void *entry);
void vigil_bind_print_tainted(void *entry);
void vigil_bind_sched_process_hang(void *entry);
void vigil_bind_stop_one_cpu_nowait(void *entry);
void vigil_bind_show_regs(void *entry);
void vigil_bind_print_modules(void *entry);
void vigil_bind_trigger_backtrace(void *entry);

unsigned int vigil_stack_save_regs(struct pt_regs *regs, unsigned long *stack, unsigned int size);

#endif
