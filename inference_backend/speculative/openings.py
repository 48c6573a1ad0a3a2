"""First words of the prompts that a draft head's training text answers.

The target writes the rest of each prompt.
"""

import random

_ASKS = (
    """
Write a short story about|Write a Python function that|Write a JavaScript function that|Explain
How do I|What is|What are the main differences between|List ten|Give me a recipe for
Write an email to|Summarize the following text:|Write a poem about|Create a table of
Translate into French:|Describe|Why does|Can you help me|Write a SQL query that
Fix the bug in this code:|Write a unit test for|Refactor this class:|Plan a|Suggest five|Compare
Write a bash script|Write a letter to|Give step-by-step instructions for|What happens when
Tell me a joke about|Write a dialogue between|Write an essay on|How can I improve
Solve this problem:|Calculate|Write a product description for|Design a|What should I know about
Give me advice on|Write a regular expression|Convert this|Write a C++ program that
Explain to a child|Write a news article about|What is the history of|Review|Brainstorm ideas for
Rewrite this sentence:|Correct the grammar:|Write a HTML page|Write a job advertisement for
Write a commit message for|Explain this code:|Write a Java class|Make a checklist for
Write a speech about|Answer the question:|Continue the story:|Write a JSON
""".replace("\n", "|")
    .strip("|")
    .split("|")
)

_TOPICS = (
    """
a lighthouse keeper|sorting a list|black holes|climate change|learning to swim|a birthday party
the French Revolution|binary search|sourdough bread|a lost dog|machine learning|time travel
prime numbers|a small business|photosynthesis|job interviews|a medieval castle|web servers
meditation|the water cycle|electric cars|chess openings|a rainy day|the stock market|linked lists
gardening|ancient Egypt|a robot who dreams|sleep|public speaking|database indexes
vegetarian cooking|the moon landing|recursion|a difficult customer|volcanoes|budgeting|jazz music
a detective|string parsing|bees|remote work|the Roman Empire|matrix multiplication
running a marathon|coffee|vaccines|a dragon|file systems|friendship|solar panels|the immune system
poetry|a spaceship|REST APIs|first aid|dinosaurs|handwriting|renewable energy|a haunted house
unit conversion|teaching children|memory leaks|the ocean|a mountain hike|wine|travel to Japan
caching|public transport|a wedding speech|gravity|folk tales|graph traversal|bicycles
the human heart|cryptography|a school project|tea ceremonies|inflation|dates and times|owls
a job application|concurrency|painting|football|a science fair|logging|rivers|nutrition
a grandmother|fractions|sailing|the printing press|email etiquette
""".replace("\n", "|")
    .strip("|")
    .split("|")
)


def random_openings(count: int, seed: int) -> list[str]:
    """``count`` openings: an ask with a topic, an ask alone, or nothing at all."""
    source = random.Random(seed)
    return [_opening(source) for _ in range(count)]


def _opening(source: random.Random) -> str:
    kind = source.random()
    if kind < 0.2:
        return ""
    ask = source.choice(_ASKS)
    return ask if kind < 0.5 else f"{ask} {source.choice(_TOPICS)}"
