"""Memory of weights: never shared by two that live, and used again."""

import os
import threading

import pytest
import torch

from subspace_nn.projections.pages import SPARE, Pages


def test_weights_that_live_share_no_memory_and_dead_ones_leave_theirs():
    pages = Pages()
    first, second = (pages.empty(100, torch.float32) for _ in range(2))
    where = first.data_ptr()
    assert where != second.data_ptr()
    view = first[3:]
    del first
    assert pages.empty(100, torch.float32).data_ptr() != where  # the view lives
    del view
    assert pages.empty(50, torch.float32).data_ptr() == where


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the child touches no lock
def test_a_fork_shares_no_pages():
    # Both processes find the same pages unused.
    pages = Pages()
    pages.empty(1000, torch.float32).fill_(1)
    child = os.fork()
    if child == 0:
        pages.empty(1000, torch.float32).fill_(2)
        os._exit(0)
    os.waitpid(child, 0)
    assert pages.empty(1000, torch.float32).eq(1).all()


def test_a_few_pages_wait_at_most():
    pages = Pages()
    for size in range(200, 300):
        pages.empty(size, torch.float32)
    assert len(pages._held) <= 1 + SPARE


def test_threads_never_share_pages():
    pages, wrong = Pages(), []

    def work(number):
        for _ in range(300):
            tensor = pages.empty(1000, torch.float32).fill_(number)
            wrong.extend(tensor[tensor != number].tolist())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
