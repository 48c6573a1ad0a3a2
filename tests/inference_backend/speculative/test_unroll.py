"""The head over whole sequences does what it does when it drafts; its loss has the right slope."""

import torch
from torch import Tensor, nn

from inference_backend.model.transformer import Transformer
from inference_backend.speculative.evaluate import acceptance, walk
from inference_backend.speculative.head import DraftHead, HeadShape
from inference_backend.speculative.unroll import DraftLoss, target_hidden, unrolled
from tests.fakes.engine_runs import finish, prompt, request
from tests.fakes.tiny_model import ONE_LAYER, SHAPE, copied_head, tiny_engine, tiny_model

STEPS = 4


def random_head(seed: int = 0) -> DraftHead:
    torch.manual_seed(seed)
    head = DraftHead(SHAPE, HeadShape(SHAPE.hidden_size, 48))
    for parameter in head.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.15)
        else:
            nn.init.uniform_(parameter, 0.5, 1.5)
    return head.requires_grad_(False)


class ChainAttention:
    """Keys and values of one chain in a list, attended to one row at a time."""

    def __init__(self) -> None:
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []

    def __call__(self, _layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        attended = []
        groups = query.shape[1] // key.shape[1]
        for row in range(query.shape[0]):
            self.keys.append(key[row].repeat_interleave(groups, 0))
            self.values.append(value[row].repeat_interleave(groups, 0))
            keys, values = torch.stack(self.keys, 1), torch.stack(self.values, 1)
            scores = (keys @ query[row][:, :, None])[..., 0] * query.shape[-1] ** -0.5
            attended.append((scores.softmax(-1)[:, None] @ values)[:, 0])
        return torch.stack(attended)


def chain(
    model: Transformer, head: DraftHead, tokens: Tensor, hidden: Tensor, first: int
) -> list[Tensor]:
    """The head's outputs when it drafts behind position ``first``, one step after the other."""
    attend = ChainAttention()
    before = torch.cat([torch.zeros(1, hidden.shape[1]), hidden[:first]])
    cosine, sine = model.rotary(torch.arange(first + 1))
    embedded = model.embedding(tokens[: first + 1])
    outputs = [head(before, embedded, cosine, sine, attend)[-1]]
    for step in range(1, STEPS):
        at = first + step
        cosine, sine = model.rotary(torch.tensor([at]))
        embedded = model.embedding(tokens[at : at + 1])
        outputs.append(head(outputs[-1][None], embedded, cosine, sine, attend)[0])
    return outputs


@torch.inference_mode()
def test_unrolled_equals_the_chain_step_by_step() -> None:
    model, head = tiny_model(), random_head()
    tokens = torch.tensor([prompt(14, 1), prompt(14, 2)])
    hidden = target_hidden(model, tokens)
    together = unrolled(model, head, tokens, hidden, STEPS)
    for row in range(2):
        for first in range(1, 14 - STEPS):
            alone = chain(model, head, tokens[row], hidden[row], first)
            for step, output in enumerate(alone):
                assert torch.allclose(together[step][row, first + step], output, atol=1e-4)


@torch.inference_mode()
def test_hidden_states_do_not_depend_on_what_follows() -> None:
    model = tiny_model()
    tokens = torch.tensor([prompt(12)])
    whole, part = target_hidden(model, tokens), target_hidden(model, tokens[:, :7])
    assert torch.allclose(whole[:, :7], part, atol=1e-4)


def naive_loss(
    outputs: Tensor, hidden: Tensor, weights: Tensor, unembedding: Tensor, rejection: float
) -> Tensor:
    """The loss as it is written in the docstring, left to autograd."""
    target = (hidden @ unembedding.T).softmax(-1)
    log_draft = (outputs @ unembedding.T).log_softmax(-1)
    cross_entropy = -(target * log_draft).sum(-1)
    rejected = 1 - torch.minimum(target, log_draft.exp()).sum(-1)
    return (((1 - rejection) * cross_entropy + rejection * rejected) * weights).sum()


def test_the_gradient_of_the_loss_is_that_of_autograd() -> None:
    """For all mixtures, and when the chunk does not divide the rows."""
    source = torch.Generator().manual_seed(4)
    hidden = torch.randn(11, 16, generator=source)
    unembedding = torch.randn(23, 16, generator=source) * 0.5
    weights = torch.rand(3, 11, generator=source)
    for rejection in (0.0, 0.4, 1.0):
        values, slopes = [], []
        for use_ours in (True, False):
            outputs = torch.randn(3, 11, 16, generator=torch.Generator().manual_seed(5))
            outputs.requires_grad_()
            loss = (
                DraftLoss.apply(outputs, hidden, weights, unembedding, rejection, 4)  # type: ignore[no-untyped-call]
                if use_ours
                else naive_loss(outputs, hidden, weights, unembedding, rejection)
            )
            (loss * 0.7).backward()
            assert outputs.grad is not None
            values.append(loss.detach())
            slopes.append(outputs.grad)
        assert torch.allclose(values[0], values[1], rtol=1e-4)
        assert torch.allclose(slopes[0], slopes[1], atol=1e-5)


def test_walking_through_given_rates() -> None:
    """Rates of 0 and 1 leave nothing to chance. Two drafts; the answer starts at position 1."""
    rates = torch.zeros(2, 2, 12)
    rates[:, 0] = 1.0
    accept_lengths, depth = walk(rates.numpy(), [1, 1], [12, 12])
    assert accept_lengths == [3.0, 1.0]
    # Row 0: positions 1, 4, 7 (10 + 2 drafts is beyond the end); row 1: every one from 1 to 9.
    assert depth.tolist() == [3 / 12, 3 / 12]


def test_a_rejected_draft_ends_the_step() -> None:
    """Deeper drafts are not looked at."""
    rates = torch.zeros(3, 1, 9)
    rates[1:] = 1.0
    accept_lengths, depth = walk(rates.numpy(), [0], [9])
    assert accept_lengths == [1.0]
    assert depth.tolist() == [0.0, 0.0, 0.0]


def test_a_text_too_short_for_a_step_has_no_accept_length() -> None:
    assert walk(torch.ones(3, 1, 5).numpy(), [3], [5])[0] == []


def test_what_is_worked_out_on_text_is_what_the_engine_reaches() -> None:
    """Greedy: the same steps, hence the same accept length."""
    drafts = 3
    model = tiny_model()
    head = copied_head(model, hidden_share=0.5).head
    start = prompt(10, 3)
    engine = tiny_engine(hidden_share=0.5)
    generation = finish(engine, [request("a", start, 60)])["a"]
    tokens = torch.tensor([[*start, *generation.tokens]])
    rates = acceptance(model, head, tokens, drafts, temperature=0.0)
    (worked_out,), _ = walk(rates, [len(start)], [tokens.shape[1]])
    position, steps = len(start), 0
    for output in generation.outputs[1:]:
        if position + drafts >= tokens.shape[1]:
            break
        position, steps = position + len(output.token_ids), steps + 1
    assert worked_out == (position - len(start)) / steps
    assert worked_out > 1


def test_acceptance_of_a_perfect_head_is_one_at_every_temperature() -> None:
    """A target of one layer, and a head that copies it."""
    model = tiny_model(ONE_LAYER)
    tokens = torch.tensor([prompt(12, 6)])
    for temperature in (0.0, 0.7, 1.0):
        rates = acceptance(model, copied_head(model).head, tokens, 3, temperature)
        assert rates[:, :, 3:].min() > 0.999
