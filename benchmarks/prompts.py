"""Sixty-four prompts of many kinds: code, prose, lists, mathematics, mails, other languages."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SYSTEM = "You are a helpful assistant. Answer in full, and give examples where they help."

PROMPTS = (
    "Write a Python function that merges two sorted lists.",
    "Explain how a bicycle stays upright.",
    "List ten uses for a paperclip.",
    "Write a mail to my landlord about a broken heater.",
    "What is 17 times 23? Show each step.",
    "Tell me a short story about a lighthouse keeper.",
    "Translate into French: The train leaves at seven in the morning.",
    "Write a SQL query that finds the three best customers of each month.",
    "Summarise the causes of the First World War.",
    "Give me a recipe for lentil soup.",
    "Write a haiku about snow, and explain it.",
    "How does a heat pump work?",
    "Write a JavaScript function that debounces another function.",
    "Plan a weekend in Lisbon for two people.",
    "What are the differences between TCP and UDP?",
    "Write unit tests for a function that reverses a string.",
    "Solve for x: 3x + 7 = 2(x - 4).",
    "Write a product description for a wooden desk lamp.",
    "Escribe un correo para pedir un día libre.",
    "Explain recursion to a child of ten.",
    "Write a dialogue between a cat and a dog about dinner.",
    "Make a table of the planets with their diameters.",
    "Why is the sky blue?",
    "Write a regular expression for ISO dates, and explain each part.",
    "Correct the grammar: He don't knows where is the station.",
    "Give step-by-step instructions for changing a bicycle tyre.",
    "Write a speech of one minute for a friend's wedding.",
    "What is the capital of Australia, and why is it not Sydney?",
    "Erkläre kurz, was eine Primzahl ist.",
    "Write a bash script that backs up a folder every night.",
    "Compare solar and wind power.",
    "A train travels 180 km in 2.5 hours. How fast is it, in metres per second?",
    "Write a job advertisement for a gardener.",
    "What should I know before I adopt a dog?",
    "Write a class in Java for a bank account.",
    "Describe the water cycle.",
    "Suggest five names for a coffee shop, and say why.",
    "Write a poem about the sea in four lines.",
    "How do vaccines work?",
    "Explain the difference between a list and a tuple in Python.",
    "Write a complaint about a late parcel, polite but firm.",
    "Continue the story: The door had been locked for a hundred years.",
    "What is the sum of the first one hundred whole numbers? Prove it.",
    "Write a news article about a missing garden gnome.",
    "Racontez une petite histoire sur un renard.",
    "How can I fall asleep faster?",
    "Write a function in C that counts the words of a text.",
    "Give me three arguments for and three against school uniforms.",
    "What happens when a star dies?",
    "Make a checklist for moving to another flat.",
    "Write an HTML page with a form for a name and an address.",
    "Explain inflation with the example of bread.",
    "Repeat the word 'apple' thirty times.",
    "Write a commit message for a change that fixes a race in a cache.",
    "What did the Romans eat?",
    "Turn this into JSON: Anna is 34, lives in Oslo and has two cats, Mio and Tom.",
    "Scrivi una lista della spesa per una cena tra amici.",
    "How many seconds are there in a leap year?",
    "Write a letter to your future self.",
    "Explain how binary search works, and write it in pseudocode.",
    "Name twenty animals in alphabetical order.",
    "Write a riddle about time, and its answer.",
    "What is the difference between weather and climate?",
    "Draft an agenda for a one-hour meeting about a new website.",
)


def chat_prompts(
    tokenizer: "PreTrainedTokenizerBase", count: int, *, start: int = 0, share_system: bool = True
) -> list[tuple[int, ...]]:
    """Token ids of ``count`` chat requests, beginning anew when the prompts are used up."""
    system = [{"role": "system", "content": SYSTEM}] if share_system else []
    chosen = [PROMPTS[(start + number) % len(PROMPTS)] for number in range(count)]
    texts = [
        tokenizer.apply_chat_template(
            [*system, {"role": "user", "content": prompt}],
            add_generation_prompt=True,
            tokenize=False,
        )
        for prompt in chosen
    ]
    # The template has written the special tokens already.
    return [tuple(tokenizer.encode(str(text), add_special_tokens=False)) for text in texts]
